/**
 * @file Questions to the person at the terminal.
 */
import { createInterface } from "node:readline/promises";
import { Interrupted } from "./process.mjs";

/**
 * @param {string} question
 * @param {NodeJS.WritableStream} output
 * @returns {Promise<string>} "" where the input ends
 * @throws {Interrupted} Ctrl-C
 */
export function answerTo(question, output) {
  return new Promise((resolve, reject) => {
    const asking = createInterface({ input: process.stdin, output });
    asking.once("SIGINT", () => {
      reject(new Interrupted("SIGINT"));
      asking.close();
    });
    asking.once("close", () => resolve(""));
    asking.question(question).then((answer) => {
      resolve(answer.trim());
      asking.close();
    }, reject);
  });
}

/**
 * @param {string} question
 * @param {NodeJS.WritableStream} output
 */
export const agreed = async (question, output) =>
  /^y(es)?$/i.test(await answerTo(`${question} (yes/no) `, output));
