# The one question: may it? `allow` is true when the request is of a kind that policy knows and nothing stands against
# it. Whatever is missing, misspelt or of another type stands against it. Policy is asked after the rules built into the
# agent said yes; it can only say no.
package conductor

default allow := false

allow if count(reasons) == 0

# Why not, for people. Each begins with the file that says so.
reasons contains "main: this version of the rules knows input version 1 only" if not input.version == 1

reasons contains "main: the class of the request is not one that policy decides" if not known_class

reasons contains "main: the request does not say what is to be done" if not names_operation

reasons contains sprintf("isolation: %s", [r]) if some r in data.conductor.isolation.deny

reasons contains sprintf("quotas: %s", [r]) if some r in data.conductor.quotas.deny

reasons contains sprintf("ramps: %s", [r]) if some r in data.conductor.ramps.deny

reasons contains sprintf("freeze: %s", [r]) if some r in data.conductor.freeze.deny

reasons contains sprintf("dual control: %s", [r]) if some r in data.conductor.dual_control.deny

reasons contains sprintf("site: %s", [r]) if {
	some r in data.conductor.site.deny
	is_string(r)
}

reasons contains "site: a rule says no, and not why in words" if {
	some r in data.conductor.site.deny
	not is_string(r)
}

# A file that is missing, or whose `deny` is no set of reasons, would deny nothing and nobody would see it.
reasons contains sprintf("main: the rules of %s are missing, or deny there is no set", [file]) if {
	some file in {"isolation", "quotas", "ramps", "freeze", "dual_control", "site"}
	not file in there
}

# Differences of sets and not loops: in nearly all requests there is nothing to go through.
reasons contains sprintf("main: the request lacks %s", [field]) if {
	some field in (fields[input.class] - given)
}

reasons contains sprintf("main: a request of class %s cannot have %s", [input.class, field]) if {
	some field in (given - fields[input.class])
}

reasons contains sprintf("main: %s.%s is neither true nor false", [field, fact]) if {
	some field in fields[input.class]
	field != "work"
	some fact in facts[field]
	not is_fact(field, fact)
}

reasons contains sprintf("main: %s cannot have %s", [field, fact]) if {
	some field, known in facts
	is_object(input[field])
	some fact in (object.keys(input[field]) - known)
}

known_class if input.class in {"admit", "loosen", "irreversible"}

names_operation if {
	is_string(input.operation)
	input.operation != ""
}

# What a request of each class holds: no less, for what is missing may be what forbids it, and no more, for what these
# rules do not know may forbid it too.
fields := {
	"admit": (of_all | {"work", "workflow", "within", "ramp"}),
	"loosen": (of_all | {"role", "approvals"}),
	"irreversible": (of_all | {"role", "approvals"}),
}

of_all := {"version", "class", "operation", "tenant", "profile", "principal", "scope", "freeze"}

# What is in the fields that hold more than one thing. All of it is true or false, except in `work`.
facts := {
	"scope": {"proven"},
	"work": {"action", "workflow", "env", "actor"},
	"workflow": {"registered", "prompt_fits"},
	"within": {"concurrent_runs", "step_rate", "receipt_backlog"},
	"ramp": {"included", "killed"},
	"freeze": {"active", "break_glass"},
	"role": {"held"},
	"approvals": {"enough", "distinct"},
}

default given := set()

given := object.keys(input) if is_object(input)

is_fact(field, fact) if is_boolean(input[field][fact])

there contains "isolation" if is_set(data.conductor.isolation.deny)

there contains "quotas" if is_set(data.conductor.quotas.deny)

there contains "ramps" if is_set(data.conductor.ramps.deny)

there contains "freeze" if is_set(data.conductor.freeze.deny)

there contains "dual_control" if is_set(data.conductor.dual_control.deny)

there contains "site" if is_set(data.conductor.site.deny)
