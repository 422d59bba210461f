// Package derive reads watch rules out of a Dockerfile: what x-devstack.watch
// with auto asks for. It is pure: bytes and options in, rules out.
//
//	COPY of the context into the final image     -> sync, source to target
//	a RUN needs what was copied                  -> rebuild instead
//	the RUN only installs packages               -> rebuild on their manifests, sync the rest
//	a stage that only others copy from           -> rebuild
//	rebuild_on                                   -> rebuild, and no sync
//
// Whether a synced service has to be restarted is guessed from its command:
// interpreters without a reloader need it, and so does what goes to /etc or is
// the program itself; everything else serves from disk or reloads by itself.
// x-devstack.watch.action overrides the guess.
//
// Where the Dockerfile leaves doubt the answer is rebuild: slower, and never
// wrong.
package derive
