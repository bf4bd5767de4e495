import { containerPolicies, LABEL } from "../../core/containers";
import { BLOCK_VOLUME, DOCKER_VOLUME, labelsOf, type Rule, type Seen, text } from "./rule";

const { node, registry } = containerPolicies;

/** Volumes whose content can be made again: pushed images, and a local node's own images and container layers. */
function canBeMadeAgain({ props }: Seen): boolean {
  const component = text(labelsOf(props)[LABEL.component]);
  return (
    component === registry.component ||
    (component === node.component && /-docker$/.test(text(props.name) ?? ""))
  );
}

/** In production what holds data cannot be deleted by an edit: `pulumi state unprotect` has to come first. */
export const volumes: Rule = {
  name: "volumes-protected-in-production",
  description: "In a production stack every volume that holds data is protected.",
  check: (resource, { production }) => {
    const { type, protect } = resource;
    if (!production || protect) return [];
    if (type !== BLOCK_VOLUME && type !== DOCKER_VOLUME) return [];
    if (type === DOCKER_VOLUME && canBeMadeAgain(resource)) return [];
    return ["the volume is not protected: create it with the resource option protect: true"];
  },
};
