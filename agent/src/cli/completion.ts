// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are variables of shells
/**
 * Completion scripts, made from the commands themselves, so that they never lag behind them. All words but ids and names
 * are in the script; those are asked of `berth __words`, which says nothing when berthd is not there.
 */
import type { Command, Option } from "./commander";

/** What `berth __words` can tell. */
export const wordLists = ["grants", "tokens", "users", "containers"] as const;
export type WordList = (typeof wordLists)[number];

export const shells = ["bash", "zsh"] as const;
export type Shell = (typeof shells)[number];

/** Words that may stand in one place: fixed ones, a list that berthd knows, or free text. */
interface Values {
  words: string[];
  list?: WordList;
}

interface Place {
  /** `gpu request`; empty: before the first word. */
  path: string;
  commands: { name: string; about: string }[];
  options: { name: string; about: string }[];
  /** Of options that take a value. */
  values: (Values & { names: string[] })[];
  /** Of options whose value may be left out: `--wait` and `--wait 5m` are both whole. */
  optional: string[];
  arguments: Values[];
}

/** Which list completes an argument or an option's value, by its name. */
const lists: Record<string, WordList> = {
  ...{ id: "grants", grant: "grants", user: "users", token: "tokens", container: "containers" },
};

function placesOf(command: Command, path: string[] = []): Place[] {
  const visible = new Set(command.createHelp().visibleCommands(command));
  const shown = command.commands.filter((one) => visible.has(one));
  const options = [...command.createHelp().visibleOptions(command)];
  return [
    {
      path: path.join(" "),
      commands: shown.map((one) => ({ name: one.name(), about: one.summary() || one.description() })),
      options: options.flatMap((option) =>
        namesOf(option).map((name) => ({ name, about: option.description })),
      ),
      values: options
        .filter((option) => option.required || option.optional)
        .map((option) => ({
          names: namesOf(option),
          words: option.argChoices ?? [],
          list: lists[option.attributeName()],
        })),
      optional: options.filter((option) => option.optional).flatMap(namesOf),
      arguments: command.registeredArguments.map((argument) => ({
        words: argument.argChoices ?? [],
        list: lists[argument.name()],
      })),
    },
    ...shown.flatMap((one) => placesOf(one, [...path, one.name()])),
  ];
}

function namesOf(option: Option): string[] {
  return [option.short, option.long].filter((name): name is string => typeof name === "string");
}

/** The script for a shell to source. */
export function completionScript(program: Command, shell: Shell): string {
  const places = placesOf(program);
  return shell === "bash" ? bashScript(places) : zshScript(places);
}

/** Single quotes of a POSIX shell. */
function quote(text: string): string {
  return /^[A-Za-z0-9_./=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Where the words typed so far lead: sets `at` (the command), `count` (arguments before the cursor). */
function walk(places: Place[], indent: string): string[] {
  const lines = places.flatMap(({ path, commands }) =>
    commands.map(({ name }) => `${quote(`${path}|${name}`)}) at=${quote(`${path} ${name}`.trim())} ;;`),
  );
  const takers = places.flatMap(({ path, values, optional }) =>
    values
      .flatMap(({ names }) => names)
      .filter((name) => !optional.includes(name))
      .map((name) => quote(`${path}|${name}`)),
  );
  return [
    'case "$at|$word" in',
    ...lines.map((line) => `  ${line}`),
    ...(takers.length > 0 ? [`  ${takers.join("|")}) taken=1 ;;`] : []),
    "  *'|'-*) ;;",
    "  *) count=$((count + 1)) ;;",
    "esac",
  ].map((line) => indent + line);
}

function bashScript(places: Place[]): string {
  const say = ({ words, list }: Values): string =>
    [
      ...(words.length > 0 ? [`words=${quote(words.join(" "))}`] : []),
      ...(list ? [`words="$(command berth __words ${list} 2>/dev/null)"`] : []),
    ].join("; ") || ":";
  const cases = places.flatMap((place) => {
    const optional = new Set(place.optional);
    return [
      `    ${quote(place.path)})`,
      ...place.values.flatMap((values) => [
        `      case "$prev" in ${values.names.join("|")})`,
        `        ${say(values)}`,
        values.names.every((name) => optional.has(name))
          ? "        ;;"
          : `        COMPREPLY=($(compgen -W "$words" -- "$cur")); return ;;`,
        "      esac",
      ]),
      `      if [[ $cur == -* ]]; then words=${quote(place.options.map(({ name }) => name).join(" "))}`,
      ...(place.commands.length > 0
        ? [`      else words=${quote(place.commands.map(({ name }) => name).join(" "))}`]
        : place.arguments.flatMap((values, index) => [
            `      elif [[ $count -eq ${index} ]]; then ${say(values)}`,
          ])),
      "      fi ;;",
    ];
  });
  return `${[
    "# bash completion for berth. For this shell: source <(berth completion bash)",
    "# For all: berth completion bash >/etc/bash_completion.d/berth",
    "_berth() {",
    "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at='' word words='' taken=0 count=0 i",
    "  COMPREPLY=()",
    "  # Bash gives `--kind=mig` as three words.",
    "  if [[ $cur == = ]]; then cur=''; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi",
    "  for ((i = 1; i < COMP_CWORD; i++)); do",
    "    word=${COMP_WORDS[i]}",
    "    if [[ $word == = ]]; then taken=1; continue; fi",
    "    if [[ $taken -eq 1 ]]; then taken=0; continue; fi",
    ...walk(places, "    "),
    "  done",
    '  case "$at" in',
    ...cases,
    "  esac",
    '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
    "}",
    "complete -F _berth berth",
  ].join("\n")}\n`;
}

function zshScript(places: Place[]): string {
  const described = (all: { name: string; about: string }[]) =>
    all.map(({ name, about }) => quote(`${name.replaceAll(":", "\\:")}:${about.split("\n")[0]}`)).join(" ");
  const say = ({ words, list }: Values): string =>
    [
      ...(words.length > 0 ? [`compadd -- ${words.map(quote).join(" ")}`] : []),
      ...(list ? [`compadd -- \${(f)"$(command berth __words ${list} 2>/dev/null)"}`] : []),
    ].join("; ") || ":";
  const cases = places.flatMap((place) => [
    `    ${quote(place.path)})`,
    ...place.values.map(({ names, ...values }) =>
      names.every((name) => place.optional.includes(name))
        ? `      case "$prev" in ${names.join("|")}) ${say(values)} ;; esac`
        : `      case "$prev" in ${names.join("|")}) ${say(values)}; return ;; esac`,
    ),
    "      if [[ $cur == -* ]]; then",
    `        all=(${described(place.options)})`,
    "        _describe -o option all",
    ...(place.commands.length > 0
      ? ["      else", `        all=(${described(place.commands)})`, "        _describe command all"]
      : place.arguments.flatMap((values, index) => [
          `      elif [[ $count -eq ${index} ]]; then`,
          `        ${say(values)}`,
        ])),
    "      fi ;;",
  ]);
  return `${[
    "#compdef berth",
    "# zsh completion for berth. For this shell: source <(berth completion zsh)",
    "# For all: berth completion zsh >/usr/local/share/zsh/site-functions/_berth",
    "_berth() {",
    "  local cur=${words[CURRENT]} prev=${words[CURRENT-1]} at='' word taken=0 count=0",
    "  local -a all",
    "  for word in ${words[2,CURRENT-1]}; do",
    "    if [[ $taken -eq 1 ]]; then taken=0; continue; fi",
    ...walk(places, "    "),
    "  done",
    '  case "$at" in',
    ...cases,
    "  esac",
    "}",
    'if [[ "${funcstack[1]}" == _berth ]]; then _berth "$@"; else compdef _berth berth; fi',
  ].join("\n")}\n`;
}
