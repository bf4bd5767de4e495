/** What the docstrings of the sources say: headers of components, and examples, which are compiled. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const root = join(__dirname, "../..");

/** A declaration with its docstring. */
export interface Documented {
  /** From the root, with the line. */
  at: string;
  name: string;
  text: string;
}

export interface Example {
  /** The docstring's place, from the root, with the line. */
  at: string;
  /** The source that it stands in, from the root. */
  source: string;
  code: string;
  /** The type that it is a value of; left out for statements. */
  type?: string;
}

const parse = (file: string) =>
  ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.ESNext, true);

const place = (node: ts.Node) => {
  const file = node.getSourceFile();
  return `${file.fileName}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
};

const comment = (tag: ts.JSDoc | ts.JSDocTag) => ts.getTextOfJSDocComment(tag.comment) ?? "";

export const sourcesOf = (folders: readonly string[]) =>
  folders.flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root })).sort();

function* all(node: ts.Node): Generator<ts.Node> {
  yield node;
  for (const child of node.getChildren()) if (!ts.isJSDoc(child)) yield* all(child);
}

const isExported = (node: ts.Declaration) =>
  (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Export) !== 0;

/** The classes that are resources of Pulumi's, each with the docstring above it. */
export function components(files: readonly string[]): Documented[] {
  return files.flatMap((file) =>
    [...all(parse(file))].filter(ts.isClassDeclaration).flatMap((node) => {
      const base = node.heritageClauses?.find(({ token }) => token === ts.SyntaxKind.ExtendsKeyword)
        ?.types[0];
      if (!/(^|\.)(Component|Custom)Resource$/.test(base?.expression.getText() ?? "")) return [];
      const text = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc).map(comment).join("\n");
      return [{ at: place(node), name: node.name?.text ?? "", text }];
    }),
  );
}

/** The exported interfaces whose names end in `Args`, and how many examples each has, its members' included. */
export function argsInterfaces(files: readonly string[]): { at: string; name: string; examples: number }[] {
  return files.flatMap((file) =>
    [...all(parse(file))]
      .filter(ts.isInterfaceDeclaration)
      .filter((node) => isExported(node) && node.name.text.endsWith("Args"))
      .map((node) => ({
        at: place(node),
        name: node.name.text,
        examples: [...all(node)].flatMap(tags).length,
      })),
  );
}

/** Only of what a docstring can stand above: below it the compiler would find the same one again. */
const tags = (node: ts.Node) =>
  ts.isInterfaceDeclaration(node) ||
  ts.isTypeAliasDeclaration(node) ||
  ts.isPropertySignature(node) ||
  ts.isClassDeclaration(node) ||
  ts.isFunctionDeclaration(node) ||
  ts.isMethodDeclaration(node) ||
  ts.isVariableStatement(node)
    ? ts.getJSDocTags(node).filter(({ tagName }) => tagName.text === "example")
    : [];

/** `Args["place"]` for a member, `Args` for an interface or a type; undefined where an example has statements. */
function typeOf(node: ts.Node): string | undefined {
  if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node))
    return node.typeParameters ? undefined : node.name.text;
  if (!ts.isPropertySignature(node)) return undefined;
  let owner: ts.Node = node.parent;
  while (
    !ts.isPropertySignature(owner) &&
    !ts.isInterfaceDeclaration(owner) &&
    !ts.isTypeAliasDeclaration(owner)
  )
    owner = owner.parent;
  const of = typeOf(owner);
  return of && `NonNullable<${of}>[${JSON.stringify(node.name.getText())}]`;
}

export function examples(files: readonly string[]): Example[] {
  return files.flatMap((file) =>
    [...all(parse(file))].flatMap((node) =>
      tags(node).map((tag) => {
        const type = typeOf(node);
        return { at: place(tag), source: file, code: comment(tag), ...(type === undefined ? {} : { type }) };
      }),
    ),
  );
}

/** The names that a source declares at its top, but those of `except`. An example sees them without an import. */
function declared(file: string, except: ReadonlySet<string>): string[] {
  const names = parse(file).statements.flatMap((statement) => {
    if (ts.isVariableStatement(statement))
      return isExported(statement.declarationList.declarations[0] as ts.Declaration)
        ? statement.declarationList.declarations.map(({ name }) => name.getText())
        : [];
    const named =
      ts.isInterfaceDeclaration(statement) ||
      ts.isTypeAliasDeclaration(statement) ||
      ts.isClassDeclaration(statement) ||
      ts.isFunctionDeclaration(statement);
    return named && isExported(statement) && statement.name ? [statement.name.text] : [];
  });
  return [...new Set(names)].filter((name) => !except.has(name));
}

/**
 * Compiles all examples as one program, and says what is wrong with which.
 *
 * @param prelude what each example sees beside the names that its own source exports: imports and declarations, as they stand
 *   in a file at the root
 */
export function compileExamples(given: readonly Example[], prelude: string): string[] {
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, root);
  const taken = new Set(
    ts
      .createSourceFile("prelude.ts", prelude, ts.ScriptTarget.ESNext, true)
      .statements.flatMap((statement) => [...all(statement)])
      .filter(
        (node) => ts.isImportSpecifier(node) || ts.isNamespaceImport(node) || ts.isVariableDeclaration(node),
      )
      .map((node) => (node as ts.ImportSpecifier).name.getText()),
  );
  const texts = new Map<string, { example: Example; text: string; before: number }>();
  for (const [i, example] of given.entries()) {
    const own = declared(example.source, taken).join(", ");
    const path = example.source.replace(/\.ts$/, "");
    const head = `${prelude}\nimport { ${own} } from "./${path}";\n`;
    const [begin, end] =
      example.type === undefined ? ["{", "}"] : [`export const example: ${example.type} = (`, ");"];
    const text = `${head}${begin}\n${example.code}\n${end}\n`;
    const before = head.split("\n").length;
    texts.set(join(root, `example-${i}.ts`), { example, text, before });
  }
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists, getSourceFile } = host;
  host.readFile = (name) => texts.get(name)?.text ?? readFile(name);
  host.fileExists = (name) => texts.has(name) || fileExists(name);
  host.getSourceFile = (name, language, ...more) => {
    const text = texts.get(name)?.text;
    return text === undefined
      ? getSourceFile.call(host, name, language, ...more)
      : ts.createSourceFile(name, text, language);
  };
  const program = ts.createProgram([...texts.keys()], options, host);
  return [...texts].flatMap(([name, { example, before }]) => {
    const file = program.getSourceFile(name);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      (found) => {
        const { line } = file?.getLineAndCharacterOfPosition(found.start ?? 0) ?? { line: 0 };
        const where = line < before ? "" : `, line ${line - before + 1}`;
        return `${example.at}${where}: ${ts.flattenDiagnosticMessageText(found.messageText, " ")}`;
      },
    );
  });
}
