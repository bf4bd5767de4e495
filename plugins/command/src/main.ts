/** The plugin's process. */
import { serve } from "@berth/plugin-base";
import { commandProvider } from "./index";

void serve(commandProvider);
