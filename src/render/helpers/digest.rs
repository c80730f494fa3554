//! Hexadecimal digests of a text.

use hmac::{Hmac, Mac};
use md5::Md5;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{HelperCall, HelperDefinition, pure_helper};
use crate::sys::hex;

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("sha256Hex", 1..=1, &[], |call| Ok(hex::encode(&Sha256::digest(call.text(0)?)).into())),
    pure_helper("md5sum", 1..=1, &[], |call| Ok(hex::encode(&Md5::digest(call.text(0)?)).into())),
    pure_helper("hmacSHA256Hex", 2..=2, &[], hmac),
];

/// HMAC of the message with the key.
fn hmac(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (message, key) = (call.text(0)?, call.text(1)?);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key may have any length");
    mac.update(message.as_bytes());
    Ok(hex::encode(&mac.finalize().into_bytes()).into())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::render::helpers::test_support::assert_values;

    /// Test vectors from FIPS 180, RFC 1321 and RFC 4231.
    #[test]
    fn digests_match_the_test_vectors() {
        assert_values(
            &Value::Null,
            &[
                (r#"(sha256Hex "abc")"#, "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""),
                (r#"(md5sum "abc")"#, "\"900150983cd24fb0d6963f7d28e17f72\""),
                (r#"(md5sum "")"#, "\"d41d8cd98f00b204e9800998ecf8427e\""),
                (
                    r#"(hmacSHA256Hex "what do ya want for nothing?" "Jefe")"#,
                    "\"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\"",
                ),
            ],
        );
    }
}
