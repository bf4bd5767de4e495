/** The plugin's process. */
import { serve } from "@berth/plugin-base";
import { cloudinitProvider } from "./index";

void serve(cloudinitProvider);
