/** Entry of the bundled plugin, `pulumi-resource-digitalocean`. */
import { serve } from "@berth/plugin-base";
import { digitaloceanProvider } from "./provider";

void serve(digitaloceanProvider());
