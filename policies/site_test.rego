package conductor.site_test

import data.conductor.fixtures_test as f
import data.conductor.site

test_no_rules_yet if {
	site.deny == set() with input as f.admission
	site.deny == set() with input as f.change
}
