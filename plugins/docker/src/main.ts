/** Entry of the bundled plugin, `pulumi-resource-docker`. */
import { serve } from "@berth/plugin-base";
import { dockerProvider } from "./provider";

void serve(dockerProvider());
