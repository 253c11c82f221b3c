// The Patterns page. Airflow imports this module and shows the component.

import { Box, h, UI, useCallback, useEffect, useSearchParams } from "./common.js";
import { Quality } from "./quality.js";
import { Search } from "./search.js";
import { Status } from "./status.js";

let settled = false;
const VIEWS = { search: "Search", status: "Status", quality: "Quality" };

globalThis.AirflowPlugin = function CodePatternsPage() {
  const [params, setParams] = useSearchParams();
  const view = params.get("view") in VIEWS ? params.get("view") : "search";
  const go = useCallback((fields) => setParams(Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""))), [setParams]);
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
      { value: view, onValueChange: ({ value }) => go(value === "search" ? {} : { view: value }), activationMode: "manual" },
      h(UI.Tabs.List, null, Object.entries(VIEWS).map(([name, label]) => h(UI.Tabs.Trigger, { key: name, value: name }, label))),
      tab("search", h(Search, { params, go })),
      tab("status", h(Status)),
      tab("quality", h(Quality)),
    ),
  );
};
