/** What people, machines and things may be called: one rule for each, whoever reads such a name. Pure. */

/**
 * A person of the stack, and a group: a Linux user name as Debian's adduser takes it (NAME_REGEX `^[a-z][-a-z0-9_]*$`), at
 * most 32 long (utmp). It also names containers, systemd slices and folders on a node, so nothing else may pass.
 */
export const USER_NAME = /^[a-z][a-z0-9_-]{0,31}$/;

/** An account that a machine may have already: the rule of Debian's useradd, with the length limit of utmp. */
export const LINUX_LOGIN = /^[a-z_][a-z0-9_-]{0,31}$/;

/** A node: an RFC 1123 label, short enough for a container's name with its prefix. */
export const NODE_NAME = /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/;

/** A container that somebody asks berthd for, without the prefix that Berth gives it. */
export const CONTAINER_NAME = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

/**
 * A container that berthd makes for a tenant, as the API calls it, and the part of a path of what is kept for it. Creations for others
 * have ids of 16 characters.
 */
export const MANAGED_CREATION = /^[0-9a-f]{8}$/;
export const isManagedCreation = (text: string) => MANAGED_CREATION.test(text);

/** An image by its id or by digest: what runs is what was meant. */
export const IMAGE = /^(sha256:[0-9a-f]{64}|[a-z0-9][a-zA-Z0-9._:/-]*@sha256:[0-9a-f]{64})$/;

/** A stack or a stage, as it stands in labels, files and names of containers on the nodes. */
export const LABEL = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
