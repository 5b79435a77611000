//! Everything that has a name in a session.

use netdma::script::{Entry, RegisterNames};

use super::signature::{Parameter, Signature, signatures};

/// The group of the functions that are about registers.
const REGISTERS: &str = "Registers";

/// What completion and hints choose from.
#[derive(Clone, Default, Debug)]
pub(super) struct Words {
    pub(super) functions: Vec<Function>,
    pub(super) registers: Vec<Register>,
    /// Variables, and functions that were defined in this session.
    pub(super) own: Vec<String>,
}

/// A function of the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    /// It, or a property, is asked of a value, after a dot.
    pub(super) method: bool,
    pub(super) signatures: Vec<Signature>,
    /// Its parameter `name` is that of a register.
    names_registers: bool,
}

/// A register with its fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Register {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

/// A field with the words for its values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

/// What an argument can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role<'a> {
    Register,
    Field,
    /// A value of the field, or of the register, that was named before it.
    Value,
    File,
    /// One of these texts.
    Choice(&'a [String]),
    Other,
}

impl Function {
    /// Of a function's documentation: some are called on a value as well as without one.
    pub(super) fn of(entry: &Entry) -> Vec<Self> {
        let Entry { name, call, group, .. } = entry;
        let is_method = |line: &&str| line.split_once(name).is_some_and(|(before, _)| before.ends_with('.'));
        let (methods, others): (Vec<_>, Vec<_>) = call.lines().partition(is_method);
        let kinds = [(true, methods), (false, others)].into_iter().filter(|(_, lines)| !lines.is_empty());
        let function = |(method, lines): (bool, Vec<&str>)| {
            let signatures = signatures(&lines.join("\n"));
            // Whoever takes a field takes a register; others that do stand among the registers.
            let mut parameters = signatures.iter().flat_map(|way| &way.parameters);
            let names_registers =
                *group == REGISTERS || parameters.any(|parameter| parameter.name == "field");
            Self { name: (*name).into(), method, signatures, names_registers }
        };
        kinds.map(function).collect()
    }

    /// What the argument at `index` can be, in the first way of calling it that says so.
    pub(super) fn role(&self, index: usize) -> Role<'_> {
        let parameters = self.signatures.iter().filter_map(|signature| signature.parameters.get(index));
        let roles = parameters.map(|parameter| self.role_of(parameter));
        roles.into_iter().find(|role| *role != Role::Other).unwrap_or(Role::Other)
    }

    fn role_of<'a>(&self, Parameter { name, choices }: &'a Parameter) -> Role<'a> {
        match name.as_str() {
            _ if !choices.is_empty() => Role::Choice(choices),
            "register" => Role::Register,
            "name" if self.names_registers => Role::Register,
            "field" => Role::Field,
            "value" => Role::Value,
            "file" | "path" => Role::File,
            _ => Role::Other,
        }
    }
}

impl Words {
    /// The function of this name. Both kinds are looked at, for Rhai lets any function be called after a dot.
    pub(super) fn function(&self, name: &str, method: bool) -> Option<&Function> {
        let of_name = || self.functions.iter().filter(|function| function.name == name);
        of_name().find(|function| function.method == method).or_else(|| of_name().next())
    }

    /// The register of this name, in any case.
    pub(super) fn register(&self, name: &str) -> Option<&Register> {
        self.registers.iter().find(|register| register.name.eq_ignore_ascii_case(name))
    }
}

impl From<RegisterNames> for Register {
    fn from(names: RegisterNames) -> Self {
        let RegisterNames { name, fields } = names;
        Self { name, fields: fields.into_iter().map(|(name, values)| Field { name, values }).collect() }
    }
}

impl Register {
    /// The field of this name, in any case.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
impl Words {
    /// A few of each kind, for the tests of what chooses from them.
    pub(super) fn sample() -> Self {
        let entry = |name, call, group| Function::of(&Entry { name, call, says: "", group });
        let field = |name: &str, values: &[&str]| Field {
            name: name.into(),
            values: values.iter().map(|value| (*value).into()).collect(),
        };
        let register = |name: &str, fields| Register { name: name.into(), fields };
        Self {
            functions: [
                entry("get", "get(name) -> value\nget(name, field) -> value", REGISTERS),
                entry("put", "put(name, value)\nput(name, field, value)", REGISTERS),
                entry("registers", "registers() -> names", REGISTERS),
                entry("irq_enable", "irq_enable(\"intx\"|\"msi\"|\"msix\", count)", "Interrupts"),
                entry("irq_wait", "irq_wait(vector, timeout_ms) -> count", "Interrupts"),
                entry("expect_reg", "expect_reg(name, value)\nexpect_reg(name, field, value)", "Judging"),
                entry("case", "case(name, || ...)", "Judging"),
                entry("load", "buffer.load(file)\nbuffer.load(file, offset)", "DMA"),
                entry("iova", "buffer.iova -> integer", "DMA"),
                entry("hexdump", "buffer.hexdump() -> text\nhexdump(blob) -> text", "DMA"),
            ]
            .concat(),
            registers: vec![
                register("CHANCNT", vec![field("NUM_CHAN", &[])]),
                register("CHAN0.CHANCTRL", vec![field("INT_DISABLE", &[])]),
                register(
                    "CHAN0.CHANSTS",
                    vec![field("STATUS", &["ACTIVE", "IDLE"]), field("SOFT_ERROR", &[])],
                ),
            ],
            own: vec!["ring".into()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_what_the_first_signature_that_knows_says() {
        let words = Words::sample();
        let role = |name, index| words.function(name, false).unwrap().role(index);
        assert_eq!(
            [role("get", 0), role("get", 1), role("get", 2)],
            [Role::Register, Role::Field, Role::Other]
        );
        assert_eq!([role("expect_reg", 0), role("expect_reg", 1)], [Role::Register, Role::Value]);
        assert_eq!([role("put", 1), role("put", 2)], [Role::Value, Role::Value]);
        assert_eq!([role("load", 0), role("case", 0)], [Role::File, Role::Other]);
        assert!(matches!(role("irq_enable", 0), Role::Choice(choices) if choices.len() == 3));
    }

    #[test]
    fn methods_and_properties_come_after_a_dot() {
        let words = Words::sample();
        let methods: Vec<_> =
            words.functions.iter().filter(|it| it.method).map(|it| it.name.as_str()).collect();
        assert_eq!(methods, ["load", "iova", "hexdump"]);
        assert!(words.functions.iter().any(|it| it.name == "hexdump" && !it.method));
    }
}
