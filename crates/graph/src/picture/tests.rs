use proptest::prelude::*;
use std::fmt::Write as _;

use super::layout::{Item, Wire, place};
use super::{Format, render};
use crate::outline::{Outline, outline};
use crate::request::Request;

fn of(text: &str) -> Outline {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    outline(&parsed.file, &parsed.source, &Request::new("linux/amd64".parse().unwrap())).unwrap()
}

const TEXT: &str = concat!(
    "FROM golang:1.23 AS build\nCOPY . .\nRUN make\n",
    "FROM build AS test\nRUN make test\n",
    "FROM scratch\nCOPY --from=build /out/a /out/b /\nRUN --mount=from=busybox:1,target=/b /b/x\nADD https://x.example/f /\n",
);

#[test]
fn text() {
    let expected = "\
Dockerfile: 3 stages, 2 needed

stage 2                                     1 RUN · 2 COPY · lines 6–9
├─ scratch              FROM
├─ build                COPY /out/a /out/b  1 RUN · 1 COPY · lines 1–3
│  ├─ golang:1.23       FROM
│  └─ context           COPY .
├─ busybox:1            mount /
└─ https://x.example/f  ADD

Side by side
  1  build
  2  stage 2

Longest chain  build → stage 2
Not needed     test
";
    assert_eq!(render(&of(TEXT), Format::Text, "Dockerfile").unwrap(), expected);
}

#[test]
fn dot_and_mermaid_escape_what_they_must() {
    let outline = of("FROM a AS x\nFROM b\nCOPY --from=x [\"/q\\\"#_<b>`\", \"/\"]\n");
    let dot = render(&outline, Format::Dot, "a \"b\"").unwrap();
    assert!(dot.contains("digraph \"a \\\"b\\\"\""), "{dot}");
    assert!(dot.contains("label=\"/q\\\"#_<b>`\""), "{dot}");
    let mermaid = render(&outline, Format::Mermaid, "").unwrap();
    assert!(mermaid.contains("n0 -->|\"/q#quot;#35;#95;&lt;b&gt;#96;\"| n1"), "{mermaid}");
}

#[test]
fn drawings_mark_what_matters() {
    let outline = of(TEXT);
    let svg = render(&outline, Format::Svg, "a<b>&\u{1}").unwrap();
    assert!(svg.contains("a&lt;b&gt;&amp; : 3 stages, 2 needed"), "{}", &svg[..400]);
    assert!(svg.contains("class=\"stage target critical\""));
    assert!(svg.contains("class=\"stage pruned\""));
    assert!(svg.contains("prefers-color-scheme:dark"));
    assert_eq!(svg.matches("class=\"badge\"").count(), 1);
    assert_eq!(svg.matches("<g").count(), svg.matches("</g>").count());
    let mermaid = render(&outline, Format::Mermaid, "").unwrap();
    assert!(mermaid.contains(":::pruned") && mermaid.contains(":::critical"), "{mermaid}");
    let dot = render(&outline, Format::Dot, "x").unwrap();
    assert!(dot.contains("style=\"rounded,dashed\"") && dot.contains("penwidth=2"), "{dot}");
}

#[test]
fn json_has_a_version_and_every_stage() {
    let json: serde_json::Value =
        serde_json::from_str(&render(&of(TEXT), Format::Json, "D").unwrap()).unwrap();
    assert_eq!(json["version"], super::SCHEMA_VERSION);
    assert_eq!(json["stages"].as_array().unwrap().len(), 3);
    assert_eq!(json["stages"][1]["level"], serde_json::Value::Null);
    assert_eq!(json["stages"][2]["flows"][1]["from"], serde_json::json!({"kind": "stage", "stage": 0}));
    assert_eq!(json["criticalPath"], serde_json::json!([0, 2]));
}

#[test]
fn too_much_is_not_drawn_but_told() {
    let mut text = "FROM a AS s0\n".to_owned();
    for n in 1..5_000 {
        let _ = writeln!(text, "FROM s{} AS s{n}", n - 1);
    }
    let outline = of(&text);
    assert!(render(&outline, Format::Svg, "x").is_err());
    let told = render(&outline, Format::Text, "x").unwrap();
    assert!(told.len() < 20_000, "{}", told.len());
}

/// Boxes in columns, and wires that go to the right.
fn graphs() -> impl Strategy<Value = (Vec<Item>, Vec<Wire>)> {
    let item = (0..5_usize, 100..300_u32, 40..160_u32).prop_map(|(column, width, height)| Item {
        column,
        width: width.into(),
        height: height.into(),
    });
    prop::collection::vec(item, 1..24).prop_flat_map(|mut items| {
        items[0].column = 0;
        let count = items.len();
        let wires = prop::collection::vec((0..count, 0..count, 10..40_u32), 0..40);
        (Just(items), wires).prop_map(|(items, wires)| {
            let wires = wires
                .into_iter()
                .filter(|(from, to, _)| items[*from].column < items[*to].column)
                .map(|(from, to, port)| Wire { from, to, port: port.into() })
                .collect();
            (items, wires)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_lies_on_anything((items, wires) in graphs()) {
        let layout = place(&items, &wires);
        let rect = |at: usize| {
            let (x, y) = layout.boxes[at];
            (x, y, x + layout.widths[at], y + items[at].height)
        };
        for a in 0..items.len() {
            let (left, top, right, bottom) = rect(a);
            prop_assert!(left >= 0.0 && top >= 0.0 && right <= layout.width + 0.1 && bottom <= layout.height + 0.1);
            for b in 0..a {
                let other = rect(b);
                let apart = right <= other.0 || other.2 <= left || bottom + 10.0 <= other.1 || other.3 + 10.0 <= top;
                prop_assert!(apart, "boxes {a} and {b}");
            }
        }
        // The straight stretches of a wire cross columns; they keep clear of every box.
        for route in &layout.routes {
            for pair in route[1..route.len() - 1].chunks(2) {
                for at in 0..items.len() {
                    let (left, top, right, bottom) = rect(at);
                    let beside = pair[1].0 <= left || right <= pair[0].0;
                    prop_assert!(beside || pair[0].1 <= top - 5.0 || bottom + 5.0 <= pair[0].1, "wire over box {at}");
                }
            }
        }
    }
}
