/** Between the engine's protocol messages and the plain shapes of types.ts. */
import { Metadata, status } from "@grpc/grpc-js";
import provider from "@pulumi/pulumi/proto/provider_pb";
import rpcStatus from "@pulumi/pulumi/proto/status_pb";
import any from "google-protobuf/google/protobuf/any_pb";
import struct from "google-protobuf/google/protobuf/struct_pb";
import type { ProviderError } from "./calls";
import { schemaSecrets } from "./calls";
import type { Bag, CheckFailure, DiffResult, Path, Props, Schema } from "./types";
import { formatPath, markSecrets, unwrapSecrets } from "./values";

/** Reads a property bag. */
export function bagOf(message: struct.Struct | undefined): Bag {
  return unwrapSecrets(message?.toJavaScript());
}

/** Writes a property bag; paths that lead nowhere in it are left out. */
export function structOf(values: Props, secrets: readonly Path[]): struct.Struct {
  return struct.Struct.fromJavaScript(markSecrets(values, secrets) as never);
}

/** What is secret in outputs: what was in the inputs, what the schema says, what the handler adds. */
export function outputSecrets(schema: Schema, outs: Props, ...more: (readonly Path[] | undefined)[]): Path[] {
  return [...schemaSecrets(schema, outs), ...more.flatMap((paths) => paths ?? [])];
}

/**
 * Failures name their property in the text alone. With the protocol's own field the engine would print the
 * property's whole value beside it, private keys included (pulumi/pulumi-command#773).
 */
export function failuresOf(failures: readonly CheckFailure[]): provider.CheckFailure[] {
  return failures.map(({ property, reason }) => {
    const message = new provider.CheckFailure();
    message.setReason(property === "" ? reason : `${property} ${reason}`);
    return message;
  });
}

const KINDS = {
  add: [provider.PropertyDiff.Kind.ADD, provider.PropertyDiff.Kind.ADD_REPLACE],
  delete: [provider.PropertyDiff.Kind.DELETE, provider.PropertyDiff.Kind.DELETE_REPLACE],
  update: [provider.PropertyDiff.Kind.UPDATE, provider.PropertyDiff.Kind.UPDATE_REPLACE],
} as const;

/** Writes a diff. Paths are those of inputs, old against new. */
export function diffOf(result: DiffResult, deleteBeforeReplace: boolean): provider.DiffResponse {
  const message = new provider.DiffResponse();
  const { DIFF_NONE, DIFF_SOME } = provider.DiffResponse.DiffChanges;
  message.setChanges(result.changes.length === 0 ? DIFF_NONE : DIFF_SOME);
  message.setDiffsList([...new Set(result.changes.map(({ path }) => String(path[0])))]);
  message.setReplacesList([
    ...new Set(result.changes.filter(({ replace }) => replace).map(({ path }) => String(path[0]))),
  ]);
  message.setDeletebeforereplace(result.deleteBeforeReplace ?? deleteBeforeReplace);
  message.setHasdetaileddiff(true);
  for (const { path, kind, replace } of result.changes) {
    const change = new provider.PropertyDiff();
    change.setKind(KINDS[kind][replace ? 1 : 0]);
    change.setInputdiff(true);
    message.getDetaileddiffMap().set(formatPath(path), change);
  }
  return message;
}

/** An error as gRPC carries it. A half-made resource travels in the details, and is kept in state. */
export function errorOf(error: ProviderError, secrets: readonly Path[], inputs: Bag | undefined) {
  const metadata = new Metadata();
  const partial = error.partial;
  if (partial !== undefined) {
    const detail = new provider.ErrorResourceInitFailed();
    detail.setId(partial.id);
    detail.setProperties(structOf(partial.outs, secrets));
    if (inputs !== undefined) detail.setInputs(structOf(inputs.values, inputs.secrets));
    detail.setReasonsList([error.message]);
    const packed = new any.Any();
    packed.pack(detail.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
    const message = new rpcStatus.Status();
    message.setCode(status.UNKNOWN);
    message.setMessage(error.message);
    message.addDetails(packed);
    // The name under which Go's gRPC looks for structured details.
    metadata.add("grpc-status-details-bin", Buffer.from(message.serializeBinary()));
  }
  return { code: status.UNKNOWN, details: error.message, message: error.message, metadata };
}
