/** Why there is no working tree, in words for whoever asked. Pure. */
import { GIT_FLOOR, type Repository } from "../../../core/manager";
import { branchNames, type References } from "./references";
import { type CheckoutAsk, NotGiven, type RepositoryLimits } from "./types";

export const nameOf = ({ host, owner, name }: Repository) => `${host}/${owner}/${name}`;

export const notAllowed = (repository: Repository, hosts: readonly string[]) =>
  new NotGiven({
    code: "not-allowed",
    message: `${nameOf(repository)} is of a host that the operator does not name`,
    allowed: hosts.join(", ") || "no host at all",
    fix: "use a repository of these, or have the operator name the host",
  });

export const busy = () =>
  new NotGiven({
    code: "busy",
    message: "too many repositories are asked for on this node at the moment",
    fix: "try again in a minute",
  });

/** Nothing was asked of the host. */
export const noTurn = (repository: Repository, { waitMilliseconds }: RepositoryLimits) =>
  new NotGiven({
    code: "busy",
    message: `${nameOf(repository)} waited ${waitMilliseconds / 1000} seconds for its turn: others are under way on this node`,
    allowed: "a few repositories at a time, fewer still of one owner, and each of them once at a time",
    fix: "try again when those are done",
  });

export const tooSlowList = (repository: Repository, { listMilliseconds }: RepositoryLimits) =>
  new NotGiven({
    code: "over-limit",
    message: `${nameOf(repository)}: the commit's files are not counted within ${listMilliseconds / 1000} seconds`,
    allowed: `${listMilliseconds / 1000} seconds`,
    fix: "take files and folders out of the branch, or try again when the node has less to do",
  });

export const unusable = (problem: string) =>
  new NotGiven({
    code: "closed",
    message: `this node cannot get repositories: ${problem}`,
    allowed: `git ${GIT_FLOOR} or newer, with setpriv, prlimit and choom of util-linux and nice of coreutils`,
    fix: "have the operator install them on the node",
  });

/** The host's own words stand in it: it did not have to say why, and nothing here decides by them. */
export const notGiven = (repository: Repository, why: string) =>
  new NotGiven({
    code: "not-found",
    message: `${nameOf(repository)}: its host did not give it: ${why}`,
    fix: "see that the name is right, that the host is there, and that the token may read the repository and has not ended",
  });

export const failed = (repository: Repository, why: string) =>
  new NotGiven({
    code: "closed",
    message: `${nameOf(repository)}: git failed: ${why}`,
    fix: "try again; if it stays so, look at the repository with git fsck, and at the room on the node's disk",
  });

export const noBranch = ({ repository, branch }: CheckoutAsk, said: References) =>
  new NotGiven({
    code: "not-found",
    message: branch
      ? `${nameOf(repository)} has no branch ${branch}`
      : `${nameOf(repository)} does not say which of its branches is the main one`,
    allowed: branchNames(said) || "none: it has no branch",
    fix: "name one of its branches, or push the branch first",
  });

export const tooLarge = (repository: Repository, { repositoryBytes }: RepositoryLimits) =>
  new NotGiven({
    code: "over-limit",
    message: `${nameOf(repository)} takes more than ${repositoryBytes} bytes`,
    allowed: `${repositoryBytes} bytes for a repository with its history`,
    fix: "have the operator raise the limit, or make the repository smaller",
  });

export const tooSlow = (repository: Repository, { milliseconds }: RepositoryLimits) =>
  new NotGiven({
    code: "over-limit",
    message: `${nameOf(repository)}: not done within ${milliseconds / 1000} seconds`,
    allowed: `${milliseconds / 1000} seconds`,
    fix: "try again when the host answers faster, or make the repository smaller",
  });
