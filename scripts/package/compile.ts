import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import configuration from "../../deno.json" with { type: "json" };
import { installPackages, parseSpecifier } from "../bundle.ts";
import { ROOT } from "../check/check.ts";

/** Modules as npm wants them, and what they import. */
export interface Compiled {
  /** Text of each `.js` and `.d.ts`, by its path below `shared/`. */
  readonly files: ReadonlyMap<string, string>;
  /** Version of each package that the modules or their types import. */
  readonly packages: ReadonlyMap<string, string>;
}

const { imports } = configuration;

const SHARED = fileURLToPath(new URL("shared/", ROOT));

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"].map((lib) =>
    `lib.${lib}.d.ts`
  ),
  types: [],
  rewriteRelativeImportExtensions: true,
  declaration: true,
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  newLine: ts.NewLineKind.LineFeed,
};

/**
 * Compiles modules of `shared/`, one file for one, so that a class is the same
 * class whichever entry point it is imported from, and
 * names the packages as Node does.
 *
 * @param entries The modules, from the repository's root; what they import comes
 * too.
 * @throws {Error} When a module does not pass that TypeScript's type check; says
 * where.
 */
export async function compileModules(
  entries: readonly string[],
): Promise<Compiled> {
  const home = await Deno.makeTempDir({ prefix: "compile-" });
  try {
    await installPackages(entries, home);
    const files = new Map<string, string>();
    const packages = new Map<string, string>();
    const program = ts.createProgram({
      rootNames: entries.map((entry) => fileURLToPath(new URL(entry, ROOT))),
      options: { ...OPTIONS, rootDir: SHARED },
      host: hostOf(home),
    });
    const rewrite = rewriting(packages);
    const { diagnostics } = program.emit(
      undefined,
      (path, text) =>
        files.set(
          relative(SHARED, path),
          path.endsWith(".d.ts") ? forOldCompilers(text) : text,
        ),
      undefined,
      false,
      { after: [rewrite], afterDeclarations: [rewrite] },
    );
    const problems = [...ts.getPreEmitDiagnostics(program), ...diagnostics]
      .filter((problem) => !isBuiltinMissing(problem));
    if (problems.length > 0) {
      throw new Error(`Cannot compile the package:\n${printed(problems)}`);
    }
    return { files, packages };
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/**
 * Declarations of a module and of what it names, for one that is bundled. They
 * come from what is written there alone, as `isolatedDeclarations` wants it.
 *
 * @param entry The module, from the repository's root; what it names is beside it.
 * @returns Text of each `.d.ts`, by its name.
 * @throws {Error} When something exported does not say its type; says where.
 */
export function declarationsOf(entry: string): ReadonlyMap<string, string> {
  const folder = dirname(entry);
  const files = new Map<string, string>();
  const add = (module: string): void => {
    const name = `${module}.d.ts`;
    if (files.has(name)) return;
    const fileName = fileURLToPath(new URL(`${folder}/${module}.ts`, ROOT));
    const { outputText, diagnostics = [] } = ts.transpileDeclaration(
      ts.sys.readFile(fileName)!,
      {
        compilerOptions: { ...OPTIONS, stripInternal: true },
        fileName,
        reportDiagnostics: true,
      },
    );
    if (diagnostics.length > 0) {
      throw new Error(`Cannot declare ${module}:\n${printed(diagnostics)}`);
    }
    const beside = /(\bfrom "\.\/)(\w+)\.ts"/g;
    files.set(
      name,
      forOldCompilers(outputText.replaceAll(beside, '$1$2.js"')),
    );
    for (const [, , named] of outputText.matchAll(beside)) add(named!);
  };
  add(basename(entry, ".ts"));
  return files;
}

/** Resolves packages among those in a folder, the rest as usual. */
function hostOf(home: string): ts.CompilerHost {
  const host = ts.createCompilerHost(OPTIONS);
  const cache = ts.createModuleResolutionCache(home, (path) => path, OPTIONS);
  host.resolveModuleNameLiterals = (literals, importer) =>
    literals.map(({ text }) => {
      const isPackage = importer.startsWith(SHARED) && packageOf(text) !== null;
      const from = isPackage ? join(home, "index.ts") : importer;
      return ts.resolveModuleName(bare(text), from, OPTIONS, host, cache);
    });
  return host;
}

/** The package that a module names as Deno does; `null` for no package. */
function packageOf(specifier: string) {
  const named = imports[specifier as keyof typeof imports] ?? specifier;
  return named.startsWith("npm:") ? parseSpecifier(named) : null;
}

/** A package's module as Node knows it, `./module.ts` as what it becomes. */
function bare(specifier: string): string {
  const named = packageOf(specifier);
  return named === null ? specifier : `${named.name}${named.file}`;
}

type Emitted = ts.SourceFile | ts.Bundle;

/** Names what a module imports as the package has it. */
function rewriting(
  packages: Map<string, string>,
): ts.TransformerFactory<Emitted> & ts.TransformerFactory<ts.SourceFile> {
  const renamed = (specifier: string) => {
    const named = packageOf(specifier);
    if (named !== null) packages.set(named.name, named.version);
    return ts.factory.createStringLiteral(
      bare(specifier).replace(/^(\.{1,2}\/.*)\.ts$/, "$1.js"),
    );
  };
  const transform = <T extends ts.Node>(
    context: ts.TransformationContext,
  ): (node: T) => T => {
    const visit = (node: ts.Node): ts.Node => {
      if (
        ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)
      ) {
        return ts.factory.updateImportDeclaration(
          node,
          node.modifiers,
          node.importClause,
          renamed(node.moduleSpecifier.text),
          node.attributes,
        );
      }
      if (
        ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined &&
        ts.isStringLiteral(node.moduleSpecifier)
      ) {
        return ts.factory.updateExportDeclaration(
          node,
          node.modifiers,
          node.isTypeOnly,
          node.exportClause,
          renamed(node.moduleSpecifier.text),
          node.attributes,
        );
      }
      if (
        ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) &&
        ts.isStringLiteral(node.argument.literal)
      ) {
        return ts.factory.updateImportTypeNode(
          node,
          ts.factory.createLiteralTypeNode(renamed(node.argument.literal.text)),
          node.attributes,
          node.qualifier,
          node.typeArguments,
          node.isTypeOf,
        );
      }
      return ts.visitEachChild(node, visit, context);
    };
    return (node) => ts.visitNode(node, visit) as T;
  };
  return transform as never;
}

/**
 * Declarations for TypeScript 5.4, whose arrays of bytes are not generic, and
 * for an app whose `lib` has no `Symbol.asyncDispose` yet.
 */
function forOldCompilers(declarations: string): string {
  const text = declarations.replaceAll("Uint8Array<ArrayBuffer>", "Uint8Array");
  return /\bAsyncDisposable\b/.test(text)
    ? `/// <reference lib="esnext.disposable" />\n${text}`
    : text;
}

/** Node's own modules have no types here; no declaration mentions theirs. */
function isBuiltinMissing({ code, messageText }: ts.Diagnostic): boolean {
  return code === 2307 && /^Cannot find module 'node:/.test(`${messageText}`);
}

function printed(diagnostics: readonly ts.Diagnostic[]): string {
  return ts.formatDiagnostics(diagnostics, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => fileURLToPath(ROOT),
    getNewLine: () => "\n",
  });
}
