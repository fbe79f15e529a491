import { parse } from "@babel/parser";
import type { Edit } from "./mutant.ts";

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

const OPERATORS: Readonly<Record<string, string>> = {
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "===": "!==",
  "!==": "===",
  "&&": "||",
  "||": "&&",
  "+": "-",
  "-": "+",
  "*": "/",
  "/": "*",
};

// Types say nothing at run time, and a message is for people.
const SKIPPED =
  /^(TS(?!As|NonNull|Satisfies)|Import|Export(All|Specifier)|ThrowStatement)/;

/** All the places where TypeScript can be broken, and how. */
export function typescriptEdits(source: string): Edit[] {
  const edits: Edit[] = [];
  const text = ({ start, end }: Node) => source.slice(start, end);
  const replace = ({ start, end }: Node, to: string) =>
    void edits.push({ start, end, to });

  const visit = (node: Node, parent: Node | null): void => {
    switch (node.type) {
      case "BinaryExpression":
      case "LogicalExpression": {
        const [left, right] = [node["left"] as Node, node["right"] as Node];
        const operator = node["operator"] as string;
        const between = { start: left.end, end: right.start };
        const to = OPERATORS[operator];
        const joinsText = operator === "+" && /["'`]/.test(text(node));
        if (to !== undefined && !joinsText) {
          const gap = source.slice(between.start, between.end);
          edits.push({ ...between, to: gap.replace(operator, to) });
        }
        if (operator === "??") replace(node, text(left));
        break;
      }
      case "IfStatement":
      case "ConditionalExpression": {
        const test = node["test"] as Node;
        replace(test, `!(${text(test)})`);
        break;
      }
      case "ExpressionStatement":
        replace(node, ";");
        break;
      case "AwaitExpression":
        // Outside of a try it makes no difference there.
        if (parent?.type !== "ReturnStatement") {
          replace(node, text(node["argument"] as Node));
        }
        break;
      case "NumericLiteral":
        replace(node, node["value"] === 0 ? "1" : `(${text(node)} * 2)`);
        break;
      case "BooleanLiteral":
        replace(node, node["value"] ? "false" : "true");
        break;
      case "CallExpression": {
        const called = text(node["callee"] as Node);
        if (called === "Math.max") replace(node["callee"] as Node, "Math.min");
        if (called === "Math.min") replace(node["callee"] as Node, "Math.max");
        break;
      }
      case "ObjectExpression":
        for (const property of node["properties"] as Node[]) {
          // With the comma behind it.
          const rest = /^\s*,?/.exec(source.slice(property.end))![0];
          const end = property.end + rest.length;
          edits.push({ start: property.start, end, to: "" });
        }
        break;
    }
    for (const child of childrenOf(node)) visit(child, node);
  };
  const program = parse(source, {
    sourceType: "module",
    plugins: ["typescript"],
  }).program as unknown as Node;
  visit(program, null);
  return edits;
}

function childrenOf(node: Node): Node[] {
  return Object.entries(node).flatMap(([field, value]) =>
    field === "loc" || field.endsWith("omments")
      ? []
      : (Array.isArray(value) ? value : [value]).filter(isNode)
  ).filter(({ type }) => !SKIPPED.test(type));
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value &&
    "start" in value;
}
