// How good the patterns are: by tier and language, the worst and the best, and what past runs scored.

import { ago, Answered, Box, count, DataTable, Flex, h, HStack, PageLink, Quality as Badge, RunLink, Section, SimpleGrid, Small, TIERS, useAnswer } from "./common.js";

const LANGUAGES = 12;
const NAMES = Object.keys(TIERS);

const share = (part, whole) => (whole ? (100 * part) / whole : 0);

const Bar = ({ parts, whole, label }) =>
	h(
		Flex,
		{ height: "1.1rem", bg: "bg.emphasized", borderRadius: "sm", overflow: "hidden", role: "img", "aria-label": label },
		parts.map(([tier, number]) =>
			h(Box, { key: tier, bg: `${TIERS[tier]}.solid`, width: `${share(number, whole)}%`, title: `${tier}: ${count(number)}` }),
		),
	);

const Bars = ({ rows }) =>
	h(
		Box,
		{ display: "grid", gridTemplateColumns: "minmax(5rem, auto) 1fr auto", gap: 2, alignItems: "center", fontSize: "sm" },
		rows.flatMap(({ key, link, parts, whole, total, text }) => [
			h(Box, { key: `${key} name` }, h(PageLink, { to: link }, key)),
			h(Bar, { key: `${key} bar`, parts, whole, label: `${key}: ${text}` }),
			h(Small, { key: `${key} count`, fontSize: "sm", textAlign: "end" }, total),
		]),
	);

const tierRows = ({ tiers, scored }) =>
	tiers.map(({ tier, least, patterns }) => ({
		key: tier,
		link: { min_quality: least },
		parts: [[tier, patterns]],
		whole: scored,
		text: `${count(patterns)} of ${count(scored)}`,
		total: `${count(patterns)} (${share(patterns, scored).toFixed(0)} %)`,
	}));

const languageRows = ({ languages }) => {
	const largest = languages[0]?.patterns;
	return languages.slice(0, LANGUAGES).map((row) => ({
		key: row.language,
		link: { language: row.language },
		parts: NAMES.map((tier) => [tier, row[tier]]),
		whole: largest,
		text: NAMES.map((tier) => `${row[tier]} ${tier}`).join(", "),
		total: count(row.patterns),
	}));
};

const Extremes = ({ label, rows }) =>
	h(DataTable, {
		label,
		head: ["Pattern", "Language", "Quality"],
		rows: rows.map((row) => [
			h(
				Box,
				{ overflowWrap: "anywhere" },
				h(PageLink, { to: { pattern: row.id } }, row.pattern_name || "unnamed"),
				h(Small, null, row.file_path),
			),
			row.language || "unknown",
			h(Badge, { score: row.quality_score, tier: row.quality_tier }),
		]),
	});

const Change = ({ runs }) =>
	h(DataTable, {
		label: "What the runs scored",
		head: ["Run", "Scored", "Average", "Tiers"],
		numeric: [1, 2],
		rows: [...runs].reverse().map((run) => [
			h(RunLink, run, ago(run.finished_at)),
			count(run.scored),
			run.average_score === null ? "" : run.average_score.toFixed(3),
			h(
				Box,
				{ minW: "10rem" },
				h(Bar, {
					parts: NAMES.map((tier) => [tier, run[tier]]),
					whole: run.scored,
					label: NAMES.map((tier) => `${run[tier]} ${tier}`).join(", "),
				}),
			),
		]),
	});

const Legend = () =>
	h(
		HStack,
		{ gap: 3, fontSize: "xs", wrap: "wrap", "aria-hidden": true },
		NAMES.map((tier) =>
			h(HStack, { key: tier, gap: 1 }, h(Box, { boxSize: "0.7rem", borderRadius: "2px", bg: `${TIERS[tier]}.solid` }), tier),
		),
	);

const Found = ({ found }) => {
	if (!found.scored) {
		return h(Small, { fontSize: "md", py: 8, textAlign: "center" }, "No pattern has a score yet. A quality_backfill DAG makes them.");
	}
	const average = `${count(found.scored)} of ${count(found.patterns)} scored, average ${found.average.toFixed(3)}`;
	const rest = found.languages.length - LANGUAGES;
	return h(
		Box,
		null,
		h(
			SimpleGrid,
			{ columns: { base: 1, lg: 2 }, columnGap: 8 },
			h(Section, { title: "By tier" }, h(Small, { mb: 2, fontSize: "sm" }, average), h(Bars, { rows: tierRows(found) })),
			h(
				Section,
				{ title: "By language", actions: h(Legend) },
				h(Bars, { rows: languageRows(found) }),
				rest > 0 && h(Small, { mt: 2, fontSize: "sm" }, `and ${count(rest)} more`),
			),
			h(Section, { title: "Worst" }, h(Extremes, { label: "Worst patterns", rows: found.worst })),
			h(Section, { title: "Best" }, h(Extremes, { label: "Best patterns", rows: found.best })),
		),
		found.runs.length > 0 && h(Section, { title: "What each run scored", actions: h(Legend) }, h(Change, found)),
	);
};

export const Quality = () => {
	const answer = useAnswer("/quality");
	return h(Answered, { answer }, (found) => h(Found, { found }));
};
