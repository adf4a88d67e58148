/** The words after `kvorum` that call a tool; apart from the tools, since every start looks at them. */

export const toolNames = ['check', 'dump', 'repair'] as const;
export type ToolName = (typeof toolNames)[number];

export function isToolName(word: string | undefined): word is ToolName {
  return toolNames.some((name) => name === word);
}
