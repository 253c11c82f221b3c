// The Patterns page. Airflow imports this module and shows the component.

import { Box, Choice, Flex, h, UI, useAnswer, useCallback, useEffect, useSearchParams, withTarget } from "./common.js";
import { Quality } from "./quality.js";
import { Search } from "./search.js";
import { Status } from "./status.js";

let settled = false;
const VIEWS = { search: "Search", status: "Status", quality: "Quality" };

// For whoever may read several targets. Who may not read the nameless one begins with another.
const Targets = ({ target, choose }) => {
	const names = useAnswer("/targets").data?.targets || [];
	const first = !target && !names.includes("") && names[0];
	useEffect(() => {
		if (first) choose(first);
	}, [first]);
	if (names.length < 2) return null;
	const options = Object.fromEntries(names.map((name) => [name, name || "without a name"]));
	const of = { size: "sm", w: "12rem" };
	return h(Choice, { of, value: target, onChange: (event) => choose(event.target.value), "aria-label": "Target", options });
};

globalThis.AirflowPlugin = function CodePatternsPage() {
	const [params, setParams] = useSearchParams();
	const view = params.get("view") in VIEWS ? params.get("view") : "search";
	const target = params.get("target") || "";
	const go = useCallback((fields) => setParams([...withTarget(fields)].filter(([, value]) => value !== "")), [setParams]);
	const choose = (chosen) => setParams(chosen ? { view, target: chosen } : { view });
	useEffect(() => {
		// Airflow mounts the page anew when the address changes for the first time: now, not while somebody types.
		if (!settled) setParams(params, { replace: true });
		settled = true;
	}, []);
	const tab = (name, content) => h(UI.Tabs.Content, { value: name, key: name, px: 0 }, view === name && content);
	return h(
		Box,
		{ as: "main", p: { base: 2, md: 4 }, maxW: "90rem", mx: "auto", "aria-label": "Code patterns", "aria-busy": !settled },
		h(
			UI.Tabs.Root,
			{ key: target, value: view, onValueChange: ({ value }) => go(value === "search" ? {} : { view: value }), activationMode: "manual" },
			h(
				Flex,
				null,
				h(UI.Tabs.List, { flex: 1 }, Object.entries(VIEWS).map(([value, label]) => h(UI.Tabs.Trigger, { key: value, value }, label))),
				h(Targets, { target, choose }),
			),
			tab("search", h(Search, { params, go })),
			tab("status", h(Status)),
			tab("quality", h(Quality)),
		),
	);
};
