"""How the page looks: one style sheet, light and dark, from 390 pixels wide."""

CSS = """
:root {
  --same: #1a7f37; --different: #c62828; --unsure: #b26a00;
  --tint: 9%; --quiet: #55616f;
}
.dark { --same: #4cc26a; --different: #ff7b72; --unsure: #e3a33b; --tint: 16%; --quiet: #a9b4c2; }

.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
.gradio-container .html-container { padding: 0; }
.top { display: flex; flex-wrap: wrap; gap: 4px 20px; align-items: baseline; }
.top h1 { font-size: 1.35rem; font-weight: 700; margin: 0; letter-spacing: -0.01em; }
.top p { margin: 0; color: var(--quiet); flex: 1 1 300px; }
.top .chips { display: flex; flex-wrap: wrap; gap: 6px; list-style: none; margin: 0; padding: 0; }
.top .chips li { margin: 0; border: 1px solid var(--border-color-primary); border-radius: 99px;
  padding: 1px 10px; font-size: 0.8rem; color: var(--quiet); }
.small { color: var(--quiet); font-size: 0.85rem; margin: 0; }
.cards + .small { margin-top: 10px; }
.columns { gap: 24px !important; }
.pair > * { flex: 1 1 0 !important; }
.image-frame { width: 100%; padding: 30px 4px 4px; }
.image-frame img { width: 100%; height: 100%; object-fit: contain; }
.buttons button { white-space: nowrap; padding-left: 8px; padding-right: 8px; }

.verdict { --tone: var(--unsure); display: grid; grid-template-columns: auto 1fr; gap: 4px 14px;
  align-items: center; padding: 16px 18px; border-radius: 12px; border: 1px solid;
  border-color: color-mix(in srgb, var(--tone) 45%, transparent);
  background: color-mix(in srgb, var(--tone) var(--tint), transparent); }
.verdict.same { --tone: var(--same); }
.verdict.different { --tone: var(--different); }
.verdict.probably, .card.probably { border-style: dashed; }
.verdict .sign { width: 44px; height: 44px; border-radius: 50%; background: var(--tone);
  color: #fff; font-size: 24px; font-weight: 700; display: grid; place-items: center; }
.dark .verdict .sign { color: #111; }
.verdict h2 { margin: 0; font-size: 1.5rem; font-weight: 700; color: var(--tone);
  line-height: 1.2; }
.verdict p { margin: 0; }
.verdict .bar { grid-column: 1 / -1; height: 10px; border-radius: 99px; margin-top: 10px;
  overflow: hidden; background: color-mix(in srgb, var(--body-text-color) 14%, transparent); }
.verdict .bar div { height: 100%; background: var(--tone); border-radius: 99px; }
.verdict .probability, .verdict .rates { grid-column: 1 / -1; }
.verdict .rates { color: var(--quiet); font-size: 0.9rem; margin-top: 6px; }
.verdict .rates b { color: var(--body-text-color); }

.chart { margin: 0; }
.chart svg { width: 100%; height: auto; display: block; }
.chart text { font-size: 8.6px; fill: var(--quiet); font-family: inherit; }
.chart text.threshold { fill: var(--body-text-color); }
.chart path.same { fill: color-mix(in srgb, var(--same) 42%, transparent); stroke: var(--same); }
.chart path.different { fill: color-mix(in srgb, var(--different) 34%, transparent);
  stroke: var(--different); }
.chart path { stroke-width: 0.8; fill: none; }
.chart path.axis { stroke: var(--border-color-primary); }
.chart path.threshold { stroke: var(--body-text-color); stroke-width: 1.2;
  stroke-dasharray: 4 3; }
.chart rect.band { fill: var(--unsure); }
.chart rect.same { fill: var(--same); }
.chart rect.different { fill: var(--different); }
.chart rect.probably { opacity: 0.5; }
.chart .pair { --tone: var(--unsure); stroke: var(--tone); }
.chart .pair.same { --tone: var(--same); fill: none; }
.chart .pair.different { --tone: var(--different); fill: none; }
.chart path.pair { stroke-width: 2; }
.chart circle.pair, .chart circle.pair.same, .chart circle.pair.different { fill: var(--tone); }
.chart text.pair, .chart text.pair.same, .chart text.pair.different { fill: var(--tone);
  stroke: none; font-weight: 700; }
.chart figcaption { color: var(--quiet); font-size: 0.85rem; }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 3px;
  margin: 0 5px 0 10px; }
.key:first-child { margin-left: 0; }
.key.same { background: var(--same); }
.key.different { background: var(--different); }
.key.unsure { background: var(--unsure); }

.cards { list-style: none; margin: 0; padding: 0; display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); }
.cards li { margin: 0; padding: 0; display: flex; }
.card { --tone: var(--border-color-primary); flex: 1; font: inherit; color: inherit;
  cursor: pointer; display: flex; flex-direction: column; gap: 1px;
  align-items: flex-start; text-align: left;
  padding: 6px; border: 2px solid var(--tone); border-radius: 10px; min-width: 0;
  background: var(--block-background-fill); font-size: 0.82rem; line-height: 1.3; }
.card.same { --tone: var(--same); }
.card.different { --tone: color-mix(in srgb, var(--different) 55%, transparent); }
.card.unsure { --tone: var(--unsure); }
.card > img { align-self: stretch; height: 150px; object-fit: contain; border-radius: 6px;
  background: color-mix(in srgb, var(--body-text-color) 6%, transparent); margin-bottom: 4px; }
.card b, .card span { overflow-wrap: anywhere; }
.card > span:not(.images) { color: var(--quiet); }
.card:hover { border-color: var(--body-text-color-subdued); }
.card:focus-visible, .folder:focus-within { outline: 3px solid var(--color-accent);
  outline-offset: 2px; }
.card[aria-pressed="true"] { --tone: var(--color-accent);
  background: color-mix(in srgb, var(--color-accent) 14%, var(--block-background-fill)); }
.card .images { display: flex; gap: 4px; align-self: center; }
.card .images img { height: 72px; border-radius: 4px; }
.card.pair { align-items: center; text-align: center; }

.notice { border-radius: 10px; padding: 10px 14px; border: 1px solid var(--border-color-primary);
  background: var(--block-background-fill); }
.notice strong { display: block; }
.notice.good { border-color: color-mix(in srgb, var(--same) 50%, transparent);
  background: color-mix(in srgb, var(--same) var(--tint), transparent); }
.notice.bad { border-color: color-mix(in srgb, var(--different) 50%, transparent);
  background: color-mix(in srgb, var(--different) var(--tint), transparent); }
.empty { border: 1px dashed var(--border-color-primary); border-radius: 12px; padding: 26px 20px;
  text-align: center; color: var(--quiet); }
.empty strong { color: var(--body-text-color); font-size: 1.1rem; }
.empty p { margin: 4px 0 0; }

label.folder { display: flex; flex-direction: column; gap: 2px; align-items: center;
  cursor: pointer; text-align: center; border-radius: 10px;
  border: 1px dashed var(--border-color-primary); padding: 14px;
  background: var(--block-background-fill); }
label.folder span { color: var(--quiet); font-size: 0.85rem; }
label.folder input { position: absolute; width: 1px; height: 1px; opacity: 0; }
output.folder { display: block; color: var(--quiet); font-size: 0.85rem; min-height: 1.2em; }

.facts-line { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 0;
  padding: 0; color: var(--quiet); }
.facts-line li { margin: 0; }
.facts-line li:first-child { color: var(--body-text-color); font-weight: 600; }
.facts { width: 100%; border-collapse: collapse; margin: 0 0 24px; border: 0 !important; }
.facts caption { text-align: left; font-weight: 700; padding: 0 0 8px; }
.facts tr { border: 0 !important; }
.facts th, .facts td { text-align: left; vertical-align: top; padding: 6px 10px 6px 0 !important;
  border: 0 !important; border-top: 1px solid var(--border-color-primary) !important;
  font-weight: 400; overflow-wrap: anywhere; }
.facts th { color: var(--quiet); width: 42%; }
.picture { margin: 0; }
.picture img { max-width: 100%; border-radius: 8px; display: block; }
.picture figcaption { color: var(--quiet); font-size: 0.85rem; padding-top: 4px; }
.pictures { columns: 2 320px; column-gap: 28px; }
.pictures .picture { break-inside: avoid; margin-bottom: 24px; }
.pictures img { width: 100%; background: #fff; border: 1px solid var(--border-color-primary);
  padding: 8px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; }
.two .picture img { height: 320px; width: 100%; object-fit: contain;
  background: color-mix(in srgb, var(--body-text-color) 6%, transparent); }
#heat .two { max-width: 576px; }
.ask { font-size: 1.2rem; font-weight: 700; margin: 0 0 8px; }
.pages { align-items: center; }
#place { text-align: center; }

@media (max-width: 640px) {
  button[role="tab"] { padding: 6px !important; font-size: 0.9rem !important; }
  .gradio-container > .main { padding: 12px !important; }
  .buttons { display: grid !important; grid-template-columns: 1fr 1fr; }
  .columns { gap: 12px !important; }
  .cards { grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); gap: 8px; }
  .card > img { height: 120px; }
  .two .picture img { height: 240px; }
  .chart text { font-size: 12px; }
}
"""
