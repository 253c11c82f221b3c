// Is the collection in sync, what did the last runs do, what is parked.

import { ago, Answered, ask, Badge, Box, Button, count, dagOf, DataTable, duration, h, HStack, plural, Problem, RunLink, Section, SimpleGrid, Small, Text, useAnswer, useEffect, useState } from "./common.js";

const REFRESH_SECONDS = 15;
const STATES = { "in sync": "green", behind: "yellow", "never synced": "gray", "full sync needed": "red" };
const STATUSES = { succeeded: "green", running: "blue", failed: "red", stopped: "gray", abandoned: "orange" };

const Tile = ({ label, value, note, palette }) =>
	h(
		Box,
		{ borderWidth: "1px", borderRadius: "md", p: 3, minW: 0 },
		h(Small, { as: "dt" }, label),
		h(Small, { as: "dd", fontWeight: "semibold", fontSize: "lg", color: palette ? `${palette}.fg` : "fg" }, value),
		note && h(Small, { as: "dd" }, note),
	);

const streamOf = (sync, dag) => {
	if (sync.stream_is_up) return ["up", "changes are taken as they are committed", "green"];
	if (!dag.data) return ["not up", dag.loading ? "" : "its DAG cannot be read"];
	return dag.data.is_paused ? ["off", "its DAG is paused"] : ["on", "starts with the next change", "green"];
};

const parityOf = (parity) => {
	const { state, at, proven_at } = parity;
	const run = h(RunLink, parity, ago(at));
	if (!state) return ["not proven yet", "the full sync proves it"];
	return state === "proven" ? [state, run, "green"] : [state, h("span", null, run, `; last proven ${ago(proven_at)}`), "red"];
};

const Tiles = ({ status: { sync, collection }, stream }) => {
	const waiting = sync.behind ? `${plural(sync.behind, "change")}${sync.behind_is_more ? " and more" : ""} to take` : "nothing waits";
	const [up, why, upPalette] = streamOf(sync, stream);
	const [parity, when, parityPalette] = parityOf(sync.parity);
	const described = collection.error
		? ["not known", collection.error, "red"]
		: collection.collection
			? [count(collection.points), `points of ${collection.dimension} dimensions, ${(collection.vector_bytes / 2 ** 20).toFixed(1)} MiB of vectors`]
			: ["none", "the full sync makes it"];
	const tile = (label, value, note, palette) => h(Tile, { key: label, label, value, note, palette });
	return h(
		SimpleGrid,
		{ as: "dl", columns: { base: 2, lg: 5 }, gap: 3 },
		tile("Sync", sync.state, waiting, STATES[sync.state]),
		tile("Lag", duration(sync.lag_seconds), "age of the oldest change that waits"),
		tile("Watermark", ago(sync.watermark.at), sync.watermark.xid ? `transaction ${count(sync.watermark.xid)}; now ${count(sync.now.xid)}` : "none"),
		tile("Last full sync", ago(sync.last_full_at), `last incremental ${ago(sync.last_incremental_at)}`),
		tile("Parity", parity, when, parityPalette),
		tile("Parked rows", count(sync.dead_letters), sync.dead_letters ? "see below" : "", sync.dead_letters ? "red" : undefined),
		tile("Stream", up, why, upPalette),
		tile("Collection", described[0], described[1], described[2]),
		tile("Model", collection.model || "not known", collection.error ? "" : collection.words ? "with words" : "without words"),
		tile("Names", collection.name, collection.is_alias ? `alias of ${collection.collection}` : collection.collection || ""),
	);
};

const Runs = ({ runs }) =>
	runs.length
		? h(DataTable, {
				label: "Last runs",
				head: ["Started", "Kind", "Status", "Took", "Examined", "New", "Changed", "Deleted", "Parked", "Parity"],
				numeric: [3, 4, 5, 6, 7, 8],
				rows: runs.map((run) => [
					h(RunLink, run, ago(run.started_at)),
					run.kind,
					h(
						Box,
						null,
						h(Badge, { colorPalette: STATUSES[run.status] }, run.status),
						run.error && h(Small, { maxW: "26rem" }, run.error),
					),
					duration(run.seconds),
					...[run.examined, run.new, run.changed + run.words_only + run.payload_only, run.deleted, run.parked].map(count),
					run.parity || "",
				]),
			})
		: h(Small, { fontSize: "sm" }, "No run yet.");

const Parked = ({ failures }) =>
	failures.length
		? h(DataTable, {
				label: "Parked rows",
				head: ["Pattern", "Reason", "Attempts", "Parked", "Next attempt"],
				numeric: [2],
				rows: failures.map((row) => [
					h(
						Box,
						{ overflowWrap: "anywhere" },
						row.pattern_name || "a row that is gone",
						h(Small, null, row.file_path || row.id),
					),
					h(Text, { overflowWrap: "anywhere", minW: "14rem" }, `${row.stage}: ${row.error}`),
					count(row.attempts),
					ago(row.first_failed_at),
					ago(row.next_attempt_at),
				]),
			})
		: h(Small, { fontSize: "sm" }, "No row is parked.");

// Airflow's own API triggers the run, so the user's rights decide.
const Retry = ({ again }) => {
	const dag = dagOf("pattern_sync_incremental");
	const [state, setState] = useState({});
	const retry = async () => {
		setState({ busy: true });
		try {
			const body = JSON.stringify({ logical_date: null, conf: { retry_dead_letters: true } });
			const headers = { "Content-Type": "application/json" };
			const run = await ask(`api/v2/dags/${dag}/dagRuns`, { method: "POST", headers, body });
			const paused = (await ask(`api/v2/dags/${dag}`).catch(() => ({}))).is_paused;
			setState({ run, paused });
			again();
		} catch (error) {
			setState({ error: error.status === 403 ? { ...error, status: -1, detail: `Your role may not trigger ${dag}.` } : error });
		}
	};
	return h(
		HStack,
		{ role: "status", wrap: "wrap" },
		state.error && h(Problem, { error: state.error }),
		state.run &&
			h(
				Text,
				{ fontSize: "sm" },
				h(RunLink, state.run, "The run is queued"),
				state.paused ? `; it waits because ${dag} is paused` : "",
			),
		h(Button, { size: "sm", variant: "outline", onClick: retry, loading: state.busy }, "Retry all now"),
	);
};

export const Status = () => {
	const status = useAnswer("/status");
	const runs = useAnswer("/runs?limit=10");
	const failures = useAnswer("/failures?limit=50");
	const stream = useAnswer(`api/v2/dags/${dagOf("pattern_sync_stream")}`);
	const again = () => [status, runs, failures, stream].forEach((answer) => answer.again());
	useEffect(() => {
		const timer = setInterval(() => document.visibilityState === "visible" && again(), REFRESH_SECONDS * 1000);
		return () => clearInterval(timer);
	}, []);
	return h(
		Box,
		null,
		h(
			Section,
			{ title: "Status", actions: h(Button, { size: "sm", variant: "outline", onClick: again }, "Refresh") },
			h(Answered, { answer: status }, (data) => h(Tiles, { status: data, stream })),
		),
		h(
			Section,
			{ title: "Parked rows", actions: failures.data?.failures.length ? h(Retry, { again }) : null },
			h(Answered, { answer: failures }, (data) => h(Parked, data)),
		),
		h(Section, { title: "Last runs" }, h(Answered, { answer: runs }, (data) => h(Runs, data))),
	);
};
