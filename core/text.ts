/** Text as a program gets it. Pure. */
import { z } from "zod";

const MOST_CHARACTERS = 32_768;

/** The kernel takes a NUL for the end of a text. */
export const hasNoNul = (text: string) => !text.includes("\0");
export const NO_NUL = "has a NUL character";

/** An argument of a program, or the value of a variable: at most 32,768 characters without NUL. It may have lines. */
export const argumentSchema = z.string().max(MOST_CHARACTERS).refine(hasNoNul, NO_NUL);
