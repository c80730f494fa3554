//! No value changes the syntax of an nginx configuration.

use proptest::prelude::*;

use super::*;

/// Parses `config` as nginx does, to words and punctuation. A quoted string is a word.
fn tokens(config: &str) -> Vec<String> {
    let (mut tokens, mut word, mut chars) = (Vec::new(), String::new(), config.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' if word.is_empty() => {
                while let Some(inner) = chars.next().filter(|inner| *inner != c) {
                    word.push(inner);
                    if inner == '\\' {
                        word.extend(chars.next());
                    }
                }
                tokens.push(format!("quoted {}", std::mem::take(&mut word)));
            }
            '#' if word.is_empty() => while chars.next().is_some_and(|c| c != '\n') {},
            '\\' => word.extend([Some(c), chars.next()].into_iter().flatten()),
            ' ' | '\t' | '\r' | '\n' | ';' | '{' | '}' => {
                if !word.is_empty() {
                    tokens.push(std::mem::take(&mut word));
                }
                if ";{}".contains(c) {
                    tokens.push(c.to_string());
                }
            }
            _ => word.push(c),
        }
    }
    tokens.push(word);
    tokens
}

/// The outcome of `config` if the key `v` has this value.
fn printed(config: &str, value: &str) -> RenderOutcome {
    let template = CompiledTemplate::compile("t.hbs", config, Escape::Nginx).expect("it compiles");
    let query = Query::key("v");
    let test =
        TestRender { answers: [(query, Arc::new(Answer::Key(Some(value.to_owned()))))].into(), ..TestRender::new() };
    test.render(&template).outcome
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_changes_the_syntax_of_an_nginx_configuration(
        value in prop_oneof!["[a-z;{}\"'$# \n\\\\.:/-]{1,12}", "\\PC{1,12}", "[\u{0}-\u{ff}]{1,6}"],
    ) {
        let bare = r#"a x{{key "v"}}y; b "{{key "v"}}"; c '{{key "v"}}'; d e;"#;
        if let RenderOutcome::Text(text) = printed(bare, &value) {
            let harmless = tokens(&bare.replace(r#"{{key "v"}}"#, "VALUE"));
            let expected: Vec<_> = harmless.iter().map(|token| token.replace("VALUE", &value)).collect();
            prop_assert_eq!(tokens(&text), expected);
        }
        let quoted = r#"a {{quote (key "v")}}; d e;"#;
        if let RenderOutcome::Text(text) = printed(quoted, &value) {
            let tokens = tokens(&text);
            prop_assert!(tokens.len() == 7 && tokens[1].starts_with("quoted ") && tokens[2..] == [";", "d", "e", ";", ""], "{tokens:?}");
        }
    }
}
