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

reasons contains sprintf("site: %s", [r]) if some r in data.conductor.site.deny

known_class if input.class in {"admit", "loosen", "irreversible"}

names_operation if {
	is_string(input.operation)
	input.operation != ""
}
