//! Encodes and decodes texts: base64, percent-encoding, hexadecimal. Decoded bytes must be valid UTF-8.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use super::{HelperCall, HelperDefinition, pure_helper};
use crate::sys::hex;

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("base64Encode", 1..=1, &[], |call| Ok(STANDARD.encode(call.text(0)?).into())),
    pure_helper("base64Decode", 1..=1, &[], |call| base64_decode(call, &STANDARD)),
    pure_helper("base64URLEncode", 1..=1, &[], |call| Ok(URL_SAFE.encode(call.text(0)?).into())),
    pure_helper("base64URLDecode", 1..=1, &[], |call| base64_decode(call, &URL_SAFE)),
    pure_helper("urlEncode", 1..=1, &[], |call| Ok(utf8_percent_encode(&call.text(0)?, RESERVED).to_string().into())),
    pure_helper("urlDecode", 1..=1, &[], |call| utf8_value(percent_decode_str(&call.text(0)?).collect())),
    pure_helper("hexEncode", 1..=1, &[], |call| Ok(hex::encode(call.text(0)?.as_bytes()).into())),
    pure_helper("hexDecode", 1..=1, &[], hex_decode),
];

/// Writes padding, and accepts input with and without it.
const BASE64_CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, BASE64_CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, BASE64_CONFIG);

/// Every character with a meaning in a URL, so that the text is one segment of a path or one value of a query.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn base64_decode(call: &HelperCall<'_, '_>, engine: &GeneralPurpose) -> Result<Value, String> {
    // The command `base64` wraps its output.
    let text: String = call.text(0)?.split_ascii_whitespace().collect();
    utf8_value(engine.decode(text).map_err(|error| format!("argument 1 is not valid base64: {error}"))?)
}

fn hex_decode(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let text = call.text(0)?;
    let digits = text.trim().chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>().ok_or_else(|| call.type_error(0, "hexadecimal digits"))?;
    if !digits.len().is_multiple_of(2) {
        return Err("argument 1 has an odd number of digits".to_owned());
    }
    utf8_value(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn utf8_value(bytes: Vec<u8>) -> Result<Value, String> {
    String::from_utf8(bytes).map(Value::String).map_err(|_| "the decoded bytes are not valid UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::render::helpers::test_support::{assert_errors, assert_values, render_text};

    #[test]
    fn texts_are_encoded_and_decoded() {
        assert_values(
            &json!({"odd": "<<???>>"}),
            &[
                (r#"(base64Encode "hello")"#, "\"aGVsbG8=\""),
                ("(base64Encode odd)", "\"PDw/Pz8+Pg==\""),
                ("(base64URLEncode odd)", "\"PDw_Pz8-Pg==\""),
                (r#"(base64Decode "aGVsbG8=\n")"#, "\"hello\""),
                (r#"(base64Decode "aGVsbG8")"#, "\"hello\""),
                (r#"(base64Decode "aGVs\nbG8=\n")"#, "\"hello\""),
                (r#"(base64URLDecode "PDw_Pz8-Pg")"#, "\"<<???>>\""),
                (r#"(urlEncode "a b/c?d=ö&~e+f")"#, "\"a%20b%2Fc%3Fd%3D%C3%B6%26~e%2Bf\""),
                (r#"(urlDecode "a%20b+c%")"#, "\"a b+c%\""),
                (r#"(hexEncode "aö")"#, "\"61c3b6\""),
                (r#"(hexDecode "61C3b6")"#, "\"aö\""),
            ],
        );
        assert_errors(
            &Value::Null,
            &[
                (r#"(base64Decode "a$b")"#, "base64Decode: argument 1 is not valid base64: Invalid symbol"),
                (r#"(base64Decode "//8=")"#, "base64Decode: the decoded bytes are not valid UTF-8"),
                (r#"(base64URLDecode "//8=")"#, "base64URLDecode: argument 1 is not valid base64"),
                (r#"(urlDecode "%ff")"#, "urlDecode: the decoded bytes are not valid UTF-8"),
                (r#"(hexDecode "6")"#, "hexDecode: argument 1 has an odd number of digits"),
                (r#"(hexDecode "6x")"#, "hexDecode: argument 1 must be hexadecimal digits, not \"6x\""),
            ],
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn encoding_round_trips(text in "(?s).{0,12}") {
            for name in ["base64", "base64URL", "url", "hex"] {
                let template = format!("{{{{{name}Decode ({name}Encode this)}}}}");
                prop_assert_eq!(render_text(&json!(text), &template), Ok(text.clone()));
            }
        }
    }
}
