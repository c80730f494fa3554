//! What a template sees: each text exactly.

use crate::bench::Bench;

/// Number of the case, template, and the file that it becomes.
const EXACT: &[(&str, &str, &str)] = &[
    (
        "1: the healthy ones, by node, then id",
        "{{#each (service \"web\")}}server {{address}}:{{port}};\n{{/each}}",
        "server 10.1.0.12:8081;\nserver 10.0.0.2:8080;\n",
    ),
    (
        "3: passing or warning",
        "{{#each (service \"web|passing,warning\")}}{{address}}:{{port}}\n{{/each}}",
        "10.1.0.11:8080\n10.1.0.12:8081\n10.0.0.2:8080\n",
    ),
    (
        "3: warning or passing",
        "{{#each (service \"web\" status=\"warning,passing\")}}{{address}}:{{port}}\n{{/each}}",
        "10.1.0.11:8080\n10.1.0.12:8081\n10.0.0.2:8080\n",
    ),
    ("5: with a tag", "{{#each (service \"v1.web\")}}{{address}}:{{port}}\n{{/each}}", "10.0.0.2:8080\n"),
    (
        "5: with a tag, any",
        "{{#each (service \"web\" tag=\"v1\" any=true)}}{{address}}:{{port}}\n{{/each}}",
        "10.1.0.11:8080\n10.0.0.2:8080\n10.0.0.3:8080\n10.0.0.4:8080\n",
    ),
    ("7: without a check", "{{#each (service \"api\")}}{{address}}:{{port}}\n{{/each}}", "10.0.0.1:9000\n"),
    (
        "9: all services",
        "{{#each (services)}}{{name}}: {{join tags \",\"}}\n{{/each}}",
        "api: \nconsul: \nmaint: \nweb: blue,green,v1\n",
    ),
    (
        "11: a node's services",
        "{{#with (node \"n1\")}}{{#each services}}{{name}}/{{id}}\n{{/each}}{{/with}}",
        "api/api-1\nweb/web-1a\nweb/web-1b\n",
    ),
    ("11: an unknown node", "{{#with (node \"n9\")}}{{node.node}}{{else}}nobody{{/with}}\n", "nobody\n"),
    (
        "15: by tag",
        "{{#each (byTag (service \"web\"))}}{{key}}: {{#each members}}{{#unless @first}},{{/unless}}{{id}}{{/each}}\n{{/each}}",
        "blue: web-1b,web-2\nv1: web-2\n",
    ),
    (
        "17: by port",
        "{{#each (byPort (service \"web\"))}}{{key}}: {{#each members}}{{id}}{{/each}}\n{{/each}}",
        "8080: web-2\n8081: web-1b\n",
    ),
    // consul-template takes `app` for a part of `apple`.
    ("19: direct keys", "{{#each (ls \"app\")}}{{key}}={{value}}\n{{/each}}", "empty=\nmax=15\n"),
    ("21: exploded", "{{#with (explode (tree \"app/\"))}}{{db.port}}{{/with}}\n", "5432\n"),
    ("23: a key", "{{key \"app/max\"}} {{key \"/app/max\"}}\n", "15 15\n"),
    (
        "25: what is empty parses",
        "{{parseInt (keyOr \"app/no\" \"\")}} {{parseFloat (keyOr \"app/empty\" \"\")}} {{parseBool (keyOr \"app/no\" \"\")}} \
         {{len (split (keyOr \"app/no\" \"\") \",\")}} {{len (parseJSON (keyOr \"app/no\" \"\"))}}\n",
        "0 0 false 0 0\n",
    ),
    (
        "27: arithmetic",
        "{{add 1 2}} {{subtract 5 2}} {{divide 10 4}} {{divide 10 4.0}} {{modulo 7 3}} {{join (loop 5 8) \",\"}}\n",
        "3 3 2 2.5 1 5,6,7\n",
    ),
    ("29: an unknown service", "upstream web2 {\n{{#each (service \"web2\")}}x{{/each}}}\n", "upstream web2 {\n}\n"),
];

/// Number of the case, template, and words of the error.
const REFUSED: &[(&str, &str, &[&str])] = &[
    ("21: a leaf and a directory", "{{#with (explode (tree \"bad/\"))}}{{/with}}", &["explode", "a"]),
    ("25: not a number", "{{parseInt (key \"app/db/host\")}}", &["parseInt", "h"]),
    ("27: division by zero", "{{divide 1 0}}", &["divide", "argument 2 is 0"]),
    ("29: too few", "{{#each (service \"web2\" min=1)}}x{{/each}}", &["service \"web2\"", "0", "1"]),
    ("31: a key that is not there", "{{key \"nope\"}}", &["key \"nope\"", "no such key"]),
];

#[tokio::test]
async fn the_data_are_those_of_consul_template() {
    let bench = Bench::new().await;
    for (case, template, expected) in EXACT {
        assert_eq!(bench.outcome(template).as_deref(), Ok(*expected), "{case}");
    }
    for (case, template, words) in REFUSED {
        let said = bench.outcome(template).expect_err(case);
        assert!(words.iter().all(|word| said.contains(word)), "{case}: {said}");
    }
}

#[tokio::test]
async fn near_keeps_the_order_of_the_server() {
    let bench = Bench::new().await;
    let answer = bench.agent.get("/v1/health/service/web?passing=1&near=n2").await;
    let order: Vec<_> =
        answer.as_array().expect("a list").iter().map(|entry| entry["Service"]["ID"].as_str()).collect();
    let order: String = order.into_iter().map(|id| format!("{}\n", id.expect("a text"))).collect();
    let text = bench.outcome("{{#each (service \"web~n2\")}}{{id}}\n{{/each}}");
    assert_eq!(text, Ok(order));
}
