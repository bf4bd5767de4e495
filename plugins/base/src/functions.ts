/** Pulumi functions (`getConfig` and the like): the arguments' check, the call, and what is secret in its answer. */
import provider from "@pulumi/pulumi/proto/provider_pb";
import { type Calls, notServed } from "./calls";
import { checkInputs } from "./schema";
import type { Bag, CheckFailure, FunctionType, Path, ProviderSpec } from "./types";
import { hasUnknown } from "./values";
import { bagOf, structOf } from "./wire";

/**
 * Answers the engine's Invoke.
 *
 * Wrong arguments come back as failures, all at once. Results are secret as a whole where an argument was.
 *
 * @throws ProviderError if the plugin has no such function, or it fails. SDKs take the secret marks off the
 * arguments before they send them, so every text among these is masked in the message, but for what the schema
 * calls `public`.
 */
export async function invokeFunction(
  spec: ProviderSpec,
  calls: Calls,
  request: provider.InvokeRequest,
): Promise<provider.InvokeResponse> {
  const token = request.getTok();
  const target = functionOf(spec, token);
  const sent = bagOf(request.getArgs());
  const { inputs, failures } = checkInputs(token, target.inputs, sent.values);
  failures.push(...unknowns(sent));
  if (failures.length > 0) return refusal(failures);

  const args: Bag = { values: inputs, secrets: sent.secrets };
  const masked: Bag = { values: inputs, secrets: Object.keys(inputs).map((key): Path => [key]) };
  const call = {
    urn: "",
    type: token,
    preview: request.getPreview(),
    schema: target.inputs,
    bags: [masked],
  };
  const result = await calls.run(call, (ctx) => target.invoke(args, ctx));
  if (result.failures !== undefined && result.failures.length > 0) return refusal(result.failures);

  const outs = result.outs ?? {};
  const secrets = sent.secrets.length > 0 ? Object.keys(outs).map((key): Path => [key]) : [];
  const response = new provider.InvokeResponse();
  response.setReturn(structOf(outs, [...secrets, ...(result.secrets ?? [])]));
  return response;
}

function functionOf(spec: ProviderSpec, token: string): FunctionType {
  const functions = spec.functions ?? {};
  const found = Object.hasOwn(functions, token) ? functions[token] : undefined;
  if (found === undefined) throw notServed(spec, token);
  return found;
}

/** An answer made of a stand-in would pass for a real one. */
function unknowns(args: Bag): CheckFailure[] {
  return Object.keys(args.values)
    .filter((key) => hasUnknown(args.values[key]))
    .map((property) => ({
      property,
      reason: "is not known yet; call the function's Output form, which waits for it",
    }));
}

/** Unlike those of a resource's check, the engine prints no values beside these, and SDKs print the property. */
function refusal(failures: readonly CheckFailure[]): provider.InvokeResponse {
  const response = new provider.InvokeResponse();
  response.setFailuresList(
    failures.map(({ property, reason }) => {
      const message = new provider.CheckFailure();
      message.setProperty(property);
      message.setReason(property === "" ? reason : `${property} ${reason}`);
      return message;
    }),
  );
  return response;
}
