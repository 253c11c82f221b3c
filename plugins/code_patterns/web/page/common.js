// What the parts of the page share. Text reaches the document through React alone, so that it cannot become markup.

const { createElement, useCallback, useEffect, useRef, useState } = globalThis.React;
const { Link: RouterLink, useSearchParams } = globalThis.ReactRouterDOM;
const UI = globalThis.ChakraUI;
export const { Box, Flex, Text, Button, HStack, Heading, SimpleGrid, Badge, Spinner, Spacer } = UI;
export { UI, useCallback, useEffect, useRef, useSearchParams, useState };
export const h = createElement;

export const TIERS = { excellent: "green", good: "teal", fair: "yellow", poor: "red" };

export const count = (number) => Number(number).toLocaleString("en");
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

// "3 minutes ago", or "in 2 hours".
export const ago = (time, now = Date.now()) => {
	if (!time) return "never";
	const seconds = (new Date(time) - now) / 1000;
	const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].find(
		([, least]) => Math.abs(seconds) >= least || least === 1,
	);
	return new Intl.RelativeTimeFormat("en").format(Math.trunc(seconds / size), unit);
};

export const duration = (seconds) => {
	if (seconds < 10) return `${seconds.toFixed(1)} s`;
	if (seconds < 120) return `${Math.round(seconds)} s`;
	return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
};

// The target stands in the address.
const targetOf = () => new URLSearchParams(globalThis.location.search).get("target");
export const withTarget = (fields) => new URLSearchParams(targetOf() ? { ...fields, target: targetOf() } : fields);
export const dagOf = (name) => (targetOf() ? `${name}__${targetOf()}` : name);

// Ask Airflow, or with "/" at the beginning the API of the patterns; errors are objects with status and detail.
export const ask = async (path, options) => {
	const own = path[0] === "/";
	const url = new URL(own ? `patterns/api${path}` : path, document.baseURI);
	if (own) withTarget().forEach((value, name) => url.searchParams.set(name, value));
	let answer;
	try {
		answer = await fetch(url, options);
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw { status: 0, detail: "The API server cannot be reached." };
	}
	const content = await answer.json().catch(() => ({}));
	if (answer.ok) return content;
	const detail = typeof content.detail === "string" ? content.detail : `The API server answered ${answer.status}.`;
	throw { status: answer.status, detail };
};

// Ask whenever the question changes: { data, error, loading, again }. Older data stays until new data is there.
export const useAnswer = (path, options) => {
	const [state, setState] = useState({ loading: Boolean(path) });
	const [turn, setTurn] = useState(0);
	const body = options?.body;
	useEffect(() => {
		if (!path) {
			setState({ loading: false });
			return undefined;
		}
		const control = new AbortController();
		setState((old) => ({ data: old.data, loading: true }));
		ask(path, { ...options, signal: control.signal }).then(
			(data) => setState({ data, loading: false }),
			(error) => control.signal.aborted || setState({ error, loading: false }),
		);
		return () => control.abort();
	}, [path, body, turn]);
	return { ...state, again: useCallback(() => setTurn((number) => number + 1), []) };
};

// A link inside Airflow: to a path, or to this page with other fields.
export const PageLink = ({ to, children, ...others }) => {
	const target = typeof to === "string" ? to : `?${withTarget(to)}`;
	return h(UI.Link, { asChild: true, color: "fg.info", ...others }, h(RouterLink, { to: target }, children));
};

export const RunLink = ({ dag_id, dag_run_id, children }) =>
	dag_run_id ? h(PageLink, { to: `/dags/${encodeURIComponent(dag_id)}/runs/${encodeURIComponent(dag_run_id)}` }, children) : children;

// Text of minor weight.
export const Small = (props) => h(Text, { color: "fg.muted", fontSize: "xs", overflowWrap: "anywhere", ...props });

export const Quality = ({ score, tier }) =>
	h(
		Badge,
		{ colorPalette: TIERS[tier] || "gray" },
		tier ? `${tier} ${score.toFixed(2)}` : "not scored",
	);

const TITLES = {
	401: "You are not logged in",
	403: "Your role may not read the patterns",
	503: "Busy or down",
};

export const Problem = ({ error, again }) =>
	h(
		UI.Alert.Root,
		{ status: error.status === 503 ? "warning" : "error", role: "alert", alignItems: "start" },
		h(UI.Alert.Indicator),
		h(
			UI.Alert.Content,
			null,
			h(UI.Alert.Title, null, TITLES[error.status] || "This did not work"),
			h(UI.Alert.Description, { overflowWrap: "anywhere" }, error.detail),
		),
		error.status === 401
			? h(Button, { size: "sm", variant: "outline", onClick: () => globalThis.location.reload() }, "Log in")
			: again && h(Button, { size: "sm", variant: "outline", onClick: again }, "Try again"),
	);

export const Loading = ({ label }) =>
	h(HStack, { role: "status", color: "fg.muted", py: 2 }, h(Spinner, { size: "sm" }), h(Text, { fontSize: "sm" }, label));

// Shows the data of an answer, or why there is none.
export const Answered = ({ answer, children }) => {
	if (answer.error) return h(Problem, answer);
	return answer.data ? children(answer.data) : h(Loading, { label: "Reading …" });
};

export const Section = ({ title, actions, children }) =>
	h(
		Box,
		{ as: "section", mb: 8 },
		h(Flex, { align: "center", gap: 3, mb: 3, wrap: "wrap" }, h(Heading, { as: "h2", size: "md" }, title), h(Spacer), actions),
		children,
	);

// A choice among options: the text that is shown by each value.
export const Choice = ({ options, of, ...attributes }) =>
	h(
		UI.NativeSelect.Root,
		of,
		h(UI.NativeSelect.Field, attributes, Object.entries(options).map(([value, text]) => h("option", { key: value, value }, text))),
		h(UI.NativeSelect.Indicator),
	);

// A table that scrolls sideways where it does not fit. Rows are arrays of cells; `numeric` names columns.
export const DataTable = ({ label, head, rows, numeric = [] }) => {
	const side = (column) => ({ key: column, textAlign: numeric.includes(column) ? "end" : "start", verticalAlign: "top" });
	const cells = (kind, names) => names.map((name, column) => h(UI.Table[kind], side(column), name));
	return h(
		Box,
		{ overflowX: "auto", borderWidth: "1px", borderRadius: "md", tabIndex: 0, role: "region", "aria-label": label },
		h(
			UI.Table.Root,
			{ size: "sm" },
			h(UI.Table.Header, null, h(UI.Table.Row, { bg: "bg.subtle" }, cells("ColumnHeader", head))),
			h(UI.Table.Body, null, rows.map((row, at) => h(UI.Table.Row, { key: at, bg: "transparent" }, cells("Cell", row)))),
		),
	);
};
