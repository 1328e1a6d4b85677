package conductor.main_test

import data.conductor
import data.conductor.fixtures_test as f

test_an_admission_is_allowed if conductor.allow with input as f.admission

test_a_step_is_allowed if {
	conductor.allow with input as object.union(f.admission, {"operation": "step.start"})
}

test_a_change_is_allowed if conductor.allow with input as f.change

test_what_cannot_be_taken_back_is_allowed if conductor.allow with input as f.irreversible

test_allowed_has_no_reasons if conductor.reasons == set() with input as f.admission

test_nothing_is_not_allowed if {
	not conductor.allow with input as {}
	not conductor.allow with input as null
	not conductor.allow with input as "admit"
	not conductor.allow with input as []
}

test_another_version_is_not_known if {
	every v in [0, 2, "1", null, true] {
		"main: this version of the rules knows input version 1 only" in conductor.reasons with input as object.union(f.admission, {"version": v})
	}
}

test_other_classes_are_not_decided if {
	every c in ["settle", "tighten", "recover", "read", "", null, 1] {
		"main: the class of the request is not one that policy decides" in conductor.reasons with input as object.union(f.change, {"class": c})
	}
}

test_an_operation_is_named if {
	every o in ["", null, 1, ["ramp.set"]] {
		"main: the request does not say what is to be done" in conductor.reasons with input as object.union(f.change, {"operation": o})
	}
}

# Fields of a request that an admission, and a change, cannot be without.
test_every_field_of_an_admission_is_needed if {
	every field in ["version", "class", "operation", "tenant", "profile", "principal", "scope", "freeze", "work", "workflow", "within", "ramp"] {
		not conductor.allow with input as object.remove(f.admission, [field])
	}
}

test_every_field_of_a_change_is_needed if {
	every field in ["version", "class", "operation", "tenant", "profile", "principal", "scope", "freeze", "role", "approvals"] {
		not conductor.allow with input as object.remove(f.change, [field])
	}
}

test_each_file_says_no_by_its_name if {
	quotas := conductor.reasons with input as object.remove(f.admission, ["within"])
	some q in quotas
	startswith(q, "quotas: ")
	ramps := conductor.reasons with input as object.remove(f.admission, ["ramp"])
	some r in ramps
	startswith(r, "ramps: ")
	isolation := conductor.reasons with input as object.remove(f.admission, ["scope"])
	some i in isolation
	startswith(i, "isolation: ")
	freeze := conductor.reasons with input as object.remove(f.change, ["freeze"])
	some z in freeze
	startswith(z, "freeze: ")
	dual := conductor.reasons with input as object.remove(f.change, ["role"])
	some d in dual
	startswith(d, "dual control: ")
	"site: closed" in conductor.reasons with input as f.admission with data.conductor.site.deny as {"closed"}
}

test_what_an_admission_lacks_is_named if {
	every field in object.keys(f.admission) - {"class"} {
		sprintf("main: the request lacks %s", [field]) in conductor.reasons with input as object.remove(f.admission, [field])
	}
}

test_every_fact_of_an_admission_is_true_or_false if {
	every field in object.keys(f.admission) & f.groups {
		every fact in object.keys(f.admission[field]) {
			reason := sprintf("main: %s.%s is neither true nor false", [field, fact])
			reason in conductor.reasons with input as object.union(f.admission, {field: {fact: "true"}})
			reason in conductor.reasons with input as object.union(object.remove(f.admission, [field]), {field: "true"})
			reason in conductor.reasons with input as object.union(object.remove(f.admission, [field]), {field: object.remove(f.admission[field], [fact])})
		}
	}
}

test_unknown_facts_of_an_admission_are_denied if {
	every field in object.keys(f.admission) & (f.groups | {"work"}) {
		sprintf("main: %s cannot have extra", [field]) in conductor.reasons with input as object.union(f.admission, {field: {"extra": true}})
	}
}

test_what_a_change_lacks_is_named if {
	every field in object.keys(f.change) - {"class"} {
		sprintf("main: the request lacks %s", [field]) in conductor.reasons with input as object.remove(f.change, [field])
	}
}

test_every_fact_of_a_change_is_true_or_false if {
	every field in object.keys(f.change) & f.groups {
		every fact in object.keys(f.change[field]) {
			reason := sprintf("main: %s.%s is neither true nor false", [field, fact])
			reason in conductor.reasons with input as object.union(f.change, {field: {fact: "true"}})
			reason in conductor.reasons with input as object.union(object.remove(f.change, [field]), {field: "true"})
			reason in conductor.reasons with input as object.union(object.remove(f.change, [field]), {field: object.remove(f.change[field], [fact])})
		}
	}
}

test_unknown_facts_of_a_change_are_denied if {
	every field in object.keys(f.change) & (f.groups | {"work"}) {
		sprintf("main: %s cannot have extra", [field]) in conductor.reasons with input as object.union(f.change, {field: {"extra": true}})
	}
}

test_what_an_irreversible_change_lacks_is_named if {
	every field in object.keys(f.irreversible) - {"class"} {
		sprintf("main: the request lacks %s", [field]) in conductor.reasons with input as object.remove(f.irreversible, [field])
	}
}

test_every_fact_of_an_irreversible_change_is_true_or_false if {
	every field in object.keys(f.irreversible) & f.groups {
		every fact in object.keys(f.irreversible[field]) {
			reason := sprintf("main: %s.%s is neither true nor false", [field, fact])
			reason in conductor.reasons with input as object.union(f.irreversible, {field: {fact: "true"}})
			reason in conductor.reasons with input as object.union(object.remove(f.irreversible, [field]), {field: "true"})
			reason in conductor.reasons with input as object.union(object.remove(f.irreversible, [field]), {field: object.remove(f.irreversible[field], [fact])})
		}
	}
}

test_unknown_facts_of_an_irreversible_change_are_denied if {
	every field in object.keys(f.irreversible) & (f.groups | {"work"}) {
		sprintf("main: %s cannot have extra", [field]) in conductor.reasons with input as object.union(f.irreversible, {field: {"extra": true}})
	}
}

test_a_fact_is_nothing_but_true_or_false if {
	every v in f.wrong {
		"main: freeze.break_glass is neither true nor false" in conductor.reasons with input as object.union(f.change, {"freeze": {"break_glass": v}})
	}
}

test_unknown_fields_are_denied if {
	every r in [f.admission, f.change, f.irreversible] {
		sprintf("main: a request of class %s cannot have extra", [r.class]) in conductor.reasons with input as object.union(r, {"extra": true})
	}
	"main: a request of class admit cannot have role" in conductor.reasons with input as object.union(f.admission, {"role": {"held": true}})
	"main: a request of class loosen cannot have ramp" in conductor.reasons with input as object.union(f.change, {"ramp": {"included": true, "killed": false}})
}

# An empty object is no set of reasons.
test_rules_that_are_missing_deny if {
	"main: the rules of isolation are missing, or deny there is no set" in conductor.reasons with data.conductor.isolation.deny as {} with input as f.admission
	"main: the rules of quotas are missing, or deny there is no set" in conductor.reasons with data.conductor.quotas.deny as {} with input as f.admission
	"main: the rules of ramps are missing, or deny there is no set" in conductor.reasons with data.conductor.ramps.deny as {} with input as f.admission
	"main: the rules of freeze are missing, or deny there is no set" in conductor.reasons with data.conductor.freeze.deny as {} with input as f.change
	"main: the rules of dual_control are missing, or deny there is no set" in conductor.reasons with data.conductor.dual_control.deny as {} with input as f.change
	"main: the rules of site are missing, or deny there is no set" in conductor.reasons with data.conductor.site.deny as {} with input as f.change
}

test_a_site_says_why_in_words if {
	every v in [1, true, null, {"a": 1}] {
		conductor.reasons == {"site: a rule says no, and not why in words"} with input as f.admission with data.conductor.site.deny as {v}
	}
	conductor.reasons == {"site: closed"} with input as f.admission with data.conductor.site.deny as {"closed"}
}
