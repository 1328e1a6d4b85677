package conductor.freeze_test

import data.conductor.fixtures_test as f
import data.conductor.freeze

test_frozen_change if {
	every v in array.concat(f.wrong, [true]) {
		"a freeze window is on" in freeze.deny with input as object.union(f.change, {"freeze": {"active": v}})
	}
	"a freeze window is on" in freeze.deny with input as object.union(object.remove(f.change, ["freeze"]), {"freeze": {}})
	"a freeze window is on" in freeze.deny with input as object.remove(f.change, ["freeze"])
	not "a freeze window is on" in freeze.deny with input as f.change
}

test_frozen_irreversible if {
	every v in array.concat(f.wrong, [true]) {
		"a freeze window is on" in freeze.deny with input as object.union(f.irreversible, {"freeze": {"active": v}})
	}
	"a freeze window is on" in freeze.deny with input as object.union(object.remove(f.irreversible, ["freeze"]), {"freeze": {}})
	"a freeze window is on" in freeze.deny with input as object.remove(f.irreversible, ["freeze"])
	not "a freeze window is on" in freeze.deny with input as f.irreversible
}

test_break_glass_lifts_it if {
	freeze.deny == set() with input as object.union(f.change, {"freeze": {"active": true, "break_glass": true}})
}

test_nothing_else_lifts_it if {
	every v in f.wrong {
		"a freeze window is on" in freeze.deny with input as object.union(f.change, {"freeze": {"active": true, "break_glass": v}})
	}
}

test_what_is_not_known_is_not_lifted if {
	every v in f.wrong {
		"a freeze window is on" in freeze.deny with input as object.union(f.change, {"freeze": {"active": v, "break_glass": true}})
	}
	"a freeze window is on" in freeze.deny with input as object.union(object.remove(f.change, ["freeze"]), {"freeze": {"break_glass": true}})
}

test_work_goes_on_in_a_freeze if {
	freeze.deny == set() with input as object.union(f.admission, {"freeze": {"active": true}})
}
