# Freeze windows: while one is on, nothing is made riskier, unless break-glass lifts it. Work goes on: a freeze never
# makes a site less safe.
package conductor.freeze

deny contains "a freeze window is on" if {
	input.class in {"loosen", "irreversible"}
	not input.freeze.active == false
	not input.freeze.break_glass == true
}
