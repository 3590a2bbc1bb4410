"""How the report looks: one style sheet, light and dark, from a phone to a wide screen."""

STYLE = """
:root{color-scheme:light dark;--ink:#1c2226;--soft:#5c6a72;--page:#f6f7f7;--card:#fff;
--line:#dde2e4;--same:#1a7f37;--different:#c62828;--unsure:#b26a00;--neutral:#455a64}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaec;--soft:#9aa8af;--page:#14181a;--card:#1d2326;
--line:#323b40;--same:#4cc26b;--different:#ff6b66;--unsure:#f0a23c;--neutral:#9fb2bb}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:1.2rem 1rem 3rem}
h1{margin:.1rem 0;font-size:1.7rem;line-height:1.2;overflow-wrap:anywhere}
h2{margin:0 0 .3rem;font-size:1.2rem}h3{margin:1.2rem 0 .2rem;font-size:1rem}
p{margin:.3rem 0}.sub,.eyebrow{color:var(--soft)}
.eyebrow{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase}
.note{border-left:4px solid var(--unsure);padding-left:.6rem}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1rem;
margin-top:1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:.7rem;
margin-top:1rem}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:.7rem .9rem}
.tile span,.tile small{display:block;color:var(--soft)}
.tile b{font-size:1.8rem;font-variant-numeric:tabular-nums;line-height:1.2}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.4rem 0}
th,td{text-align:left;padding:.28rem 1.1rem .28rem 0;border-bottom:1px solid var(--line);
vertical-align:top}
thead th{color:var(--soft);font-weight:500;font-size:.85rem}
tbody th{font-weight:600;min-width:9.5rem}
th small{display:block;font-weight:400;color:var(--soft);max-width:34rem}
td{white-space:nowrap}.words td{white-space:normal;overflow-wrap:anywhere}
ul{margin:.6rem 0 0;padding-left:1.2rem}
.curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:1rem}
figure{margin:0}.curves svg{width:100%;height:auto;max-width:560px}
.list{border-top:1px solid var(--line);padding:.5rem 0}.list p,.pair p{color:var(--soft);
font-size:.85rem}
.row{display:flex;gap:.45rem;overflow-x:auto;padding-bottom:.3rem}
.shot{flex:0 0 auto;width:74px;text-align:center}
.shot img{box-sizing:content-box;width:calc(100% - 8px);aspect-ratio:1/2;
object-fit:contain;background:#000;display:block;border:4px solid var(--line);border-radius:6px}
.shot.good img{border-color:var(--same)}.shot.bad img{border-color:var(--different)}
.shot.query img{border-color:var(--neutral)}.shot.query{margin-right:.7rem}
.shot.missed{margin-left:.9rem}
.shot span,.shot figcaption{display:block;font-size:.72rem;color:var(--soft);line-height:1.3;
overflow-wrap:anywhere}
.shot.good span{color:var(--same);font-weight:600}.shot.bad span{color:var(--different)}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(146px,1fr));gap:.9rem}
.pair .shot{width:68px}
pre{overflow-x:auto;font-size:.78rem}summary{cursor:pointer;margin-top:.6rem}
@media(max-width:480px){main{padding:.8rem .5rem 2rem}section{padding:.8rem .7rem}
th,td{padding-right:.6rem}tbody th{min-width:6rem}td{white-space:normal}}
@media print{section{break-inside:avoid}body{background:none}}
"""
