//! `and` and `or` return the argument that decides. A value is truthy if `if` accepts it.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output, PathAndJson, RenderContext, RenderError,
    Renderable, ScopedJson,
};

/// The block form renders its content if the argument that decides is truthy.
pub(super) fn register(registry: &mut Handlebars<'_>) {
    registry.register_helper("and", Box::new(LogicHelper { deciding_value: false }));
    registry.register_helper("or", Box::new(LogicHelper { deciding_value: true }));
}

/// The first truthy argument (`or`) or the first that is not (`and`), otherwise the last one.
#[derive(Clone, Copy)]
struct LogicHelper {
    deciding_value: bool,
}

impl LogicHelper {
    fn choose<'h, 'rc>(self, helper: &'h Helper<'rc>) -> Option<&'h PathAndJson<'rc>> {
        let decides = |given: &&PathAndJson<'_>| given.value().is_truthy(false) == self.deciding_value;
        helper.params().iter().find(decides).or(helper.params().last())
    }
}

impl HelperDef for LogicHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(match self.choose(helper) {
            Some(given) if !given.is_value_missing() => ScopedJson::Derived(given.value().clone()),
            _ => ScopedJson::Missing,
        })
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let is_truthy = self.choose(helper).is_some_and(|given| given.value().is_truthy(false));
        let branch = if is_truthy { helper.template() } else { helper.inverse() };
        branch.map_or(Ok(()), |branch| branch.render(registry, context, render, out))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::test_support::{assert_errors, assert_values, render_text};

    #[test]
    fn the_argument_that_decides_is_returned() {
        let data = json!({"empty": "", "a": "x", "b": "y", "zero": 0, "list": [1], "meta": {}});
        assert_values(
            &data,
            &[
                ("(or empty a b)", "\"x\""),
                ("(or empty zero)", "0"),
                ("(or meta.a a)", "\"x\""),
                ("(or empty list)", "[1]"),
                ("(or (or empty meta.a) \"z\")", "\"z\""),
                ("(and a b)", "\"y\""),
                ("(and a empty b)", "\"\""),
                ("(and a (eq a \"x\"))", "true"),
                ("(not (and a b))", "false"),
            ],
        );
        assert_errors(&data, &[("(or meta.a meta.b)", "there is no value")]);
        let cases = [
            ("{{or empty \"http\"}}", "http"),
            ("{{#if (or empty a)}}1{{else}}0{{/if}}", "1"),
            ("{{#if (and a empty)}}1{{else}}0{{/if}}", "0"),
            ("{{#if (and a meta.b)}}1{{else}}0{{/if}}", "0"),
            ("{{#unless (or meta.a meta.b)}}1{{/unless}}", "1"),
            ("{{#or empty a}}1{{else}}0{{/or}}{{#and empty a}}1{{else}}0{{/and}}", "10"),
            ("{{#each (or empty list)}}{{this}}{{/each}}", "1"),
        ];
        for (template, expected) in cases {
            assert_eq!(render_text(&data, template), Ok(expected.to_owned()), "{template}");
        }
        let reason = render_text(&data, "{{or meta.a meta.b}}").expect_err("neither is there");
        assert_eq!(reason, "there is no value `or meta.a meta.b` here");
    }
}
