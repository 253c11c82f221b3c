// Code with colours, and with the words that a search found marked. Not a parser: it knows the common languages' tokens.

import { Box, h } from "./common.js";

const LONGEST = 20000;
const TOKEN =
	/(\/\*[\s\S]*?(?:\*\/|$)|"""[\s\S]*?(?:"""|$)|'{3}[\s\S]*?(?:'{3}|$)|\/\/.*|#(?!include|define|if|endif|else|pragma).*|--\s.*)|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|(\b\d[\w.]*)|([A-Za-z_$][\w$]*)/g;
const KEYWORDS = new Set(
	("and as assert async await break case catch class const continue def default del do elif else end enum except " +
		"export extends False false final finally fn for from func function go if impl import in interface is lambda let " +
		"loop match new nil None not null of or package pass private protected pub public raise return " +
		"self static struct super switch this throw True true try type typedef typeof use var void while with yield").split(" "),
);
const COLOURS = ["fg.muted", "green.fg", "orange.fg", "purple.fg"];

const setOf = (words) => new Set((words || []).map((word) => word.toLowerCase()));

const marked = (text, words) =>
	words.size
		? text.split(/([\w\u0080-\uffff]+)/).map((part, at) =>
				words.has(part.toLowerCase())
					? h(Box, { as: "mark", key: at, bg: "yellow.muted", color: "fg", borderRadius: "2px" }, part)
					: part,
			)
		: text;

export const Marked = ({ text, matched }) => marked(text, setOf(matched));

export const Highlighted = ({ text, matched }) => {
	const words = setOf(matched);
	const shown = text.slice(0, LONGEST);
	const parts = [];
	let end = 0;
	for (const found of shown.matchAll(TOKEN)) {
		const kind = [1, 2, 3, 4].find((group) => found[group] !== undefined);
		if (kind === 4 && !KEYWORDS.has(found[0])) continue;
		parts.push(marked(shown.slice(end, found.index), words));
		parts.push(h(Box, { as: "span", color: COLOURS[kind - 1], key: found.index }, marked(found[0], words)));
		end = found.index + found[0].length;
	}
	parts.push(marked(shown.slice(end), words));
	return h(globalThis.React.Fragment, null, ...parts, text.length > LONGEST && "\n…");
};
