//! The exact output of templates for the fixture's data.

use crate::harness::Harness;

/// A case (its number first), a template, and the expected file.
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
    // consul-template's `app` also matches `apple`.
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
    (
        "2: its node's health counts",
        "{{#each (service \"web|any\")}}{{id}} {{status}}\n{{/each}}",
        "web-1a warning\nweb-1b passing\nweb-2 passing\nweb-3 critical\nweb-4 critical\n",
    ),
    ("4: one status", "{{#each (service \"web|critical\")}}{{id}} {{/each}}", "web-3 web-4 "),
    (
        "4: maintenance is a status of its own",
        "{{#each (service \"maint|critical\")}}x{{/each}}{{#each (service \"maint|maintenance\")}}{{id}}{{/each}}",
        "maint-1",
    ),
    ("6: a tag that nobody has", "{{#each (service \"no.web|any\")}}x{{else}}nobody{{/each}}", "nobody"),
    (
        "8: what is in maintenance is not healthy",
        "{{len (service \"maint\")}} {{len (service \"maint\" any=true)}}",
        "0 1",
    ),
    (
        "12: a service without an address has its node's",
        "{{#with (node \"n2\")}}{{#each services}}{{id}} {{address}}:{{port}} {{/each}}{{/with}}",
        "maint-1 10.0.0.2:7000 web-2 10.0.0.2:8080 ",
    ),
    ("14: datacenters", "{{#each (datacenters)}}{{this}}{{/each}}", "dc1"),
    (
        "16: by Meta",
        "{{#each (byMeta (service \"web|any\") \"weight|int\")}}{{key}}:{{#each members}} {{id}}{{/each}}\n{{/each}}",
        "00000: web-1a web-3 web-4\n00002: web-2\n00010: web-1b\n",
    ),
    (
        "18: all keys of a folder",
        "{{#each (tree \"app/\")}}{{key}}={{value}}\n{{/each}}",
        "db/host=h\ndb/port=5432\nempty=\nmax=15\n",
    ),
    (
        "18: a folder's own key is none of its keys",
        "{{len (ls \"app/folder/\")}} {{len (tree \"app/folder\")}} {{keyExists \"app/folder/\"}}",
        "0 0 true",
    ),
    ("18: the folder of all", "{{#each (ls \"/\")}}{{key}}={{value}} {{/each}}", "apple=z "),
    (
        "20: by the first part of the key",
        "{{#each (byKey (tree \"app\"))}}{{key}}:{{#each members}} {{key}}={{value}}{{/each}}\n{{/each}}",
        "db: host=h port=5432\n",
    ),
    ("22: an absent folder", "{{len (ls \"none\")}} {{len (tree \"none/\")}}", "0 0"),
    (
        "24: whether a key is there",
        "{{keyExists \"app/empty\"}} {{keyExists \"app/no\"}} {{keyExists \"app\"}}",
        "true false false",
    ),
    (
        "24: absent or empty",
        "{{keyOr \"app/empty\" \"d\"}} {{keyOr \"app/no\" \"d\"}} {{keyOr \"app/max\" \"d\"}}",
        "d d 15",
    ),
    (
        "26: a number is printed in full, with a point only where one is needed",
        "{{multiply 10 1.0}} {{parseFloat \"2.50\"}} {{divide (multiply 10 1.0) 4}} {{parseFloat \"123456789.125\"}}",
        "10 2.5 2.5 123456789.125",
    ),
    ("26: base64 may have line breaks", "{{base64Decode \"aGVs\\nbG8=\\n\"}}", "hello"),
    (
        "28: texts",
        "{{#each (split \" a, b\" \",\")}}[{{this}}]{{/each}} {{trim \"/a/\" \"/\"}} {{trimPrefix \"aab\" \"a\"}} {{regexReplaceAll \"web-12\" \"([a-z]+)-(\\\\d+)\" \"$2$1\"}}",
        "[a][ b] a ab 12web",
    ),
    ("29: an unknown service", "upstream web2 {\n{{#each (service \"web2\")}}x{{/each}}}\n", "upstream web2 {\n}\n"),
];

/// A case (its number first), a template, and texts in the error.
const REFUSED: &[(&str, &str, &[&str])] = &[
    ("21: a leaf and a directory", "{{#with (explode (tree \"bad/\"))}}{{/with}}", &["explode", "a"]),
    ("25: not a number", "{{parseInt (key \"app/db/host\")}}", &["parseInt", "h"]),
    ("27: division by zero", "{{divide 1 0}}", &["divide", "argument 2 is 0"]),
    ("29: too few", "{{#each (service \"web2\" min=1)}}x{{/each}}", &["service \"web2\"", "0", "1"]),
    ("22: too few keys", "{{#each (ls \"none\" min=1)}}x{{/each}}", &["none", "found 0"]),
    ("24: env that has to be there", "{{mustEnv \"NOT_SET\"}}", &["NOT_SET"]),
    ("30: an unknown status", "{{#each (service \"web|bogus\")}}x{{/each}}", &["bogus"]),
    ("31: a key that is not there", "{{key \"nope\"}}", &["key \"nope\"", "no such key"]),
];

#[tokio::test]
async fn the_data_are_those_of_consul_template() {
    let harness = Harness::new().await;
    for (case, template, expected) in EXACT {
        assert_eq!(harness.outcome(template).as_deref(), Ok(*expected), "{case}");
    }
    for (case, template, words) in REFUSED {
        let error = harness.outcome(template).expect_err(case);
        assert!(words.iter().all(|word| error.contains(word)), "{case}: {error}");
    }
}

#[tokio::test]
async fn near_keeps_the_order_of_the_server() {
    let harness = Harness::new().await;
    let answer = harness.agent.get("/v1/health/service/web?passing=1&near=n2").await;
    let order: Vec<_> =
        answer.as_array().expect("a list").iter().map(|entry| entry["Service"]["ID"].as_str()).collect();
    let order: String = order.into_iter().map(|id| format!("{}\n", id.expect("a text"))).collect();
    let text = harness.outcome("{{#each (service \"web~n2\")}}{{id}}\n{{/each}}");
    assert_eq!(text, Ok(order));
}
