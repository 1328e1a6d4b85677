package conductor.dual_control_test

import data.conductor.dual_control
import data.conductor.fixtures_test as f

test_role_held_change if {
	every v in array.concat(f.wrong, [false]) {
		"the signer of the command lacks the role" in dual_control.deny with input as object.union(f.change, {"role": {"held": v}})
	}
	"the signer of the command lacks the role" in dual_control.deny with input as object.union(object.remove(f.change, ["role"]), {"role": {}})
	"the signer of the command lacks the role" in dual_control.deny with input as object.remove(f.change, ["role"])
	not "the signer of the command lacks the role" in dual_control.deny with input as f.change
}

test_role_held_irreversible if {
	every v in array.concat(f.wrong, [false]) {
		"the signer of the command lacks the role" in dual_control.deny with input as object.union(f.irreversible, {"role": {"held": v}})
	}
	"the signer of the command lacks the role" in dual_control.deny with input as object.union(object.remove(f.irreversible, ["role"]), {"role": {}})
	"the signer of the command lacks the role" in dual_control.deny with input as object.remove(f.irreversible, ["role"])
	not "the signer of the command lacks the role" in dual_control.deny with input as f.irreversible
}

test_approvals_enough_change if {
	every v in array.concat(f.wrong, [false]) {
		"fewer persons approved it than it takes" in dual_control.deny with input as object.union(f.change, {"approvals": {"enough": v}})
	}
	"fewer persons approved it than it takes" in dual_control.deny with input as object.union(object.remove(f.change, ["approvals"]), {"approvals": {}})
	"fewer persons approved it than it takes" in dual_control.deny with input as object.remove(f.change, ["approvals"])
	not "fewer persons approved it than it takes" in dual_control.deny with input as f.change
}

test_approvals_enough_irreversible if {
	every v in array.concat(f.wrong, [false]) {
		"fewer persons approved it than it takes" in dual_control.deny with input as object.union(f.irreversible, {"approvals": {"enough": v}})
	}
	"fewer persons approved it than it takes" in dual_control.deny with input as object.union(object.remove(f.irreversible, ["approvals"]), {"approvals": {}})
	"fewer persons approved it than it takes" in dual_control.deny with input as object.remove(f.irreversible, ["approvals"])
	not "fewer persons approved it than it takes" in dual_control.deny with input as f.irreversible
}

test_approvals_distinct_change if {
	every v in array.concat(f.wrong, [false]) {
		"the approvals are not those of different persons" in dual_control.deny with input as object.union(f.change, {"approvals": {"distinct": v}})
	}
	"the approvals are not those of different persons" in dual_control.deny with input as object.union(object.remove(f.change, ["approvals"]), {"approvals": {}})
	"the approvals are not those of different persons" in dual_control.deny with input as object.remove(f.change, ["approvals"])
	not "the approvals are not those of different persons" in dual_control.deny with input as f.change
}

test_approvals_distinct_irreversible if {
	every v in array.concat(f.wrong, [false]) {
		"the approvals are not those of different persons" in dual_control.deny with input as object.union(f.irreversible, {"approvals": {"distinct": v}})
	}
	"the approvals are not those of different persons" in dual_control.deny with input as object.union(object.remove(f.irreversible, ["approvals"]), {"approvals": {}})
	"the approvals are not those of different persons" in dual_control.deny with input as object.remove(f.irreversible, ["approvals"])
	not "the approvals are not those of different persons" in dual_control.deny with input as f.irreversible
}

test_work_needs_no_approval if dual_control.deny == set() with input as f.admission
