// The search: what is asked stands in the address, so that it can be shared.

import { Highlighted, Marked } from "./highlight.js";
import { Answered, Badge, Box, Button, Choice, count, Flex, h, Heading, HStack, Loading, PageLink, plural, Problem, Quality, SimpleGrid, Small, Spacer, Text, UI, useAnswer, useEffect, useRef, useState } from "./common.js";

const LINES = 12;
const LONGEST_URL = 1500;
const PAGE = 10;
const MODES = { auto: "Automatic", words: "Words", meaning: "Meaning", hybrid: "Both", similar: "Similar code" };
const FILTERS = [
	["language", "Language", { placeholder: "python" }],
	["min_quality", "Quality at least", { type: "number", min: 0, max: 1, step: "any", placeholder: "0.7" }],
	["min_confidence", "Confidence at least", { type: "number", min: 0, max: 1, step: "any", placeholder: "0.5" }],
	["path_prefix", "Path begins with", { placeholder: "src/" }],
	["project", "Project", {}],
	["pattern_type", "Type", { placeholder: "code" }],
	["created_since", "Created since", { type: "date" }],
];
const FIELDS = ["q", "mode", "similar_to", "offset", ...FILTERS.map(([name]) => name)];

const fieldsOf = (params) => Object.fromEntries(FIELDS.filter((name) => params.get(name)).map((name) => [name, params.get(name)]));

// The request for the fields of an address; null if nothing is asked.
const requestOf = (fields) => {
	if (!Object.keys(fields).some((name) => name !== "mode" && name !== "offset")) return null;
	const url = `/search?${new URLSearchParams({ limit: PAGE, ...fields })}`;
	if (url.length <= LONGEST_URL) return { path: url };
	const body = JSON.stringify({ limit: PAGE, ...fields });
	return { path: "/search", options: { method: "POST", headers: { "Content-Type": "application/json" }, body } };
};

const Field = ({ name, label, attributes }) =>
	h(
		Box,
		null,
		h(Small, { as: "label", htmlFor: `patterns-${name}` }, label),
		h(UI.Input, { id: `patterns-${name}`, name, size: "sm", ...attributes }),
	);

const Form = ({ fields, search }) => {
	const form = useRef(null);
	useEffect(() => {
		// What the address says; a form that is made anew would lose the focus.
		for (const input of form.current.elements) input.value = fields[input.name] || "";
		if (!fields.mode || fields.similar_to) form.current.elements.mode.value = "auto";
	}, [JSON.stringify(fields)]);
	const submit = (event) => {
		event?.preventDefault();
		const entered = [...new FormData(form.current)].map(([name, value]) => [name, value.trim()]);
		search(Object.fromEntries(entered.filter(([name, value]) => value && !(name === "mode" && value === "auto"))));
	};
	const key = (event) => {
		if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) submit(event);
	};
	const filtered = FILTERS.some(([name]) => fields[name]);
	return h(
		"form",
		{ ref: form, onSubmit: submit, role: "search" },
		h(
			Flex,
			{ gap: 2, align: "start", wrap: { base: "wrap", md: "nowrap" } },
			h(UI.Textarea, {
				name: "q",
				"aria-label": "Search for words, a question, a name or code",
				placeholder: "A question, a name, or code",
				autoresize: true,
				rows: 1,
				maxH: "16rem",
				maxLength: 20000,
				flexBasis: { base: "100%", md: "auto" },
				onKeyDown: key,
			}),
			h(Choice, { of: { flex: { base: 1, md: "0 0 11rem" } }, name: "mode", "aria-label": "Search by", options: MODES }),
			h(Button, { type: "submit", colorPalette: "brand", height: "2.5rem" }, "Search"),
		),
		h(
			Box,
			{ as: "details", open: filtered || undefined, my: 3 },
			h(Small, { as: "summary", cursor: "pointer", fontSize: "sm", width: "fit-content" }, "Filters"),
			h(
				SimpleGrid,
				{ minChildWidth: "8.5rem", gap: 3, mt: 2 },
				FILTERS.map(([name, label, attributes]) => h(Field, { key: name, name, label, attributes })),
			),
		),
	);
};

const Score = ({ label, value, digits }) =>
	value === null ? null : h(Small, { as: "span" }, `${label} ${value.toFixed(digits)}`);

export const Hit = ({ hit }) => {
	const [whole, setWhole] = useState(false);
	const lines = hit.code.split("\n");
	const cut = lines.length > LINES + 3 && !whole;
	const matched = hit.matched_words;
	return h(
		Box,
		{ as: "article", borderWidth: "1px", borderRadius: "md", mb: 4, overflow: "hidden" },
		h(
			Flex,
			{ gap: 2, align: "center", wrap: "wrap", px: 3, py: 2, bg: "bg.subtle", borderBottomWidth: "1px" },
			h(
				Heading,
				{ as: "h3", size: "sm", overflowWrap: "anywhere" },
				h(PageLink, { to: { pattern: hit.id }, color: "fg" }, h(Marked, { text: hit.pattern_name || "unnamed", matched })),
			),
			h(Quality, { score: hit.quality_score, tier: hit.quality_tier }),
			h(Badge, { variant: "outline" }, hit.language),
			h(Score, { label: "words", value: hit.words_score, digits: 2 }),
			h(Score, { label: "meaning", value: hit.meaning_score, digits: 3 }),
			h(Spacer),
			h(PageLink, { to: { similar_to: hit.id, mode: "similar" }, fontSize: "sm", "aria-label": `Similar to ${hit.pattern_name}` }, "Similar"),
			h(Small, { flexBasis: "100%" }, [hit.file_path, hit.project && `project ${hit.project}`].filter(Boolean).join(" · ")),
		),
		h(
			Box,
			{ as: "pre", px: 3, py: 2, m: 0, overflowX: "auto", fontSize: "xs", fontFamily: "mono", tabIndex: 0, "aria-label": "Code" },
			h(Highlighted, { text: cut ? lines.slice(0, LINES).join("\n") : hit.code, matched }),
		),
		cut && h(Button, { size: "xs", variant: "ghost", m: 1, onClick: () => setWhole(true) }, `Show all ${count(lines.length)} lines`),
	);
};

const Empty = ({ children }) => h(Small, { py: 8, textAlign: "center", fontSize: "md" }, children);

const Hits = ({ answer, fields }) => {
	const { hits, mode, seconds, more } = answer;
	const offset = Number(fields.offset || 0);
	if (!hits.length) return h(Empty, null, offset ? "There are no further hits." : "Nothing was found. Try other words, or fewer filters.");
	const page = (to, label) => h(PageLink, { to: { ...fields, offset: to } }, label);
	return h(
		Box,
		null,
		h(
			Small,
			{ fontSize: "sm", mb: 3 },
			`${offset || more ? `Hits ${offset + 1} to ${offset + hits.length}` : plural(hits.length, "hit")}, ` +
				`by ${mode === "list" ? "filters" : mode}, in ${(seconds * 1000).toFixed(0)} ms`,
		),
		hits.map((hit) => h(Hit, { key: hit.id, hit })),
		h(HStack, null, offset > 0 && page(Math.max(0, offset - PAGE), "Previous"), more && page(offset + PAGE, "Next")),
	);
};

const One = ({ id }) => {
	const answer = useAnswer(`/patterns/${encodeURIComponent(id)}`);
	return h(Answered, { answer }, (hit) => h(Hit, { hit }));
};

export const Search = ({ params, go }) => {
	const fields = fieldsOf(params);
	const asked = JSON.stringify(fields);
	const request = requestOf(fields);
	const answer = useAnswer(request?.path, request?.options);
	const results = useRef(null);
	const first = useRef(true);
	useEffect(() => {
		// Whoever follows "Similar", a filter of another view or "Next" begins to read at the top.
		if (!first.current && !globalThis.document.activeElement?.closest("form")) {
			results.current?.focus();
			results.current?.scrollIntoView({ block: "nearest" });
		}
		first.current = false;
	}, [asked]);
	const one = params.get("pattern");
	let content = h(Empty, null, "Search for what a pattern does, for a name, or for code like yours.");
	if (one) content = h(One, { id: one });
	else if (answer.error) content = h(Problem, answer);
	else if (answer.data && request) content = h(Hits, { answer: answer.data, fields });
	return h(
		Box,
		null,
		h(Form, { fields, search: go }),
		fields.similar_to && h(Text, { mb: 2, fontSize: "sm" }, "Similar to ", h(PageLink, { to: { pattern: fields.similar_to } }, "this pattern")),
		h(
			Box,
			{ ref: results, tabIndex: -1, outline: "none", role: "region", "aria-label": "Results", "aria-live": "polite", "aria-busy": answer.loading },
			request && answer.loading && h(Loading, { label: "Searching …" }),
			content,
		),
	);
};
