//! Walks over a parsed template. All checks of templates share it.

use std::iter::repeat;

use handlebars::template::{Template, TemplateElement};

/// Line and column, counting from 1.
pub(super) type Position = (usize, usize);

/// A mistake in a template: its position and the reason.
pub(super) type Fault = (Position, String);

/// Calls `visit` for each element of a template, and then for the elements inside its blocks. `visit` returns the context
/// of the elements inside, or an error, which ends the walk.
pub(super) fn walk<'t, C: Copy, E>(
    template: &'t Template,
    context: C,
    visit: &mut impl FnMut(&'t TemplateElement, Position, C) -> Result<C, E>,
) -> Result<(), E> {
    walk_from(template, (1, 1), context, visit)
}

/// `at` is the position of the enclosing block, for the branches of an `else if`, which have no positions of their own.
fn walk_from<'t, C: Copy, E>(
    template: &'t Template,
    at: Position,
    context: C,
    visit: &mut impl FnMut(&'t TemplateElement, Position, C) -> Result<C, E>,
) -> Result<(), E> {
    let positions = template.mapping.iter().map(|mapping| (mapping.0, mapping.1)).chain(repeat(at));
    for (element, at) in template.elements.iter().zip(positions) {
        let context = visit(element, at, context)?;
        for body in bodies(element).into_iter().flatten() {
            walk_from(body, at, context, visit)?;
        }
    }
    Ok(())
}

/// The templates inside an element: the branches of a block, or the body of a partial.
fn bodies(element: &TemplateElement) -> [Option<&Template>; 2] {
    match element {
        TemplateElement::HelperBlock(block) => [block.template.as_ref(), block.inverse.as_ref()],
        TemplateElement::DecoratorExpression(part)
        | TemplateElement::DecoratorBlock(part)
        | TemplateElement::PartialExpression(part)
        | TemplateElement::PartialBlock(part) => [part.template.as_ref(), None],
        _ => [None, None],
    }
}

/// As [`bodies`], but mutable.
pub(super) fn bodies_mut(element: &mut TemplateElement) -> [Option<&mut Template>; 2] {
    match element {
        TemplateElement::HelperBlock(block) => [block.template.as_mut(), block.inverse.as_mut()],
        TemplateElement::DecoratorExpression(part)
        | TemplateElement::DecoratorBlock(part)
        | TemplateElement::PartialExpression(part)
        | TemplateElement::PartialBlock(part) => [part.template.as_mut(), None],
        _ => [None, None],
    }
}
