// Package watch is the machine of watching, without knowledge of containers:
// it says what a changed file means. All of it is functions of values; the
// kernel is at its edges, in packages notify and apply.
//
//	compose.Project --Compile--> Rules --Roots--> notify.Open --Batches--> Batch
//	                               |                                         |
//	                               +------------ Rules.Plan <----------------+
//	                                                 |
//	                              []Work: rebuild, restart, exec, and Ops
//	                                                 |
//	                                       apply.Root.Apply(Ops)
//
// Rules are what develop.watch declares and what x-devstack.watch asks to
// derive (package derive reads the Dockerfile). Match, Explain, Plan and
// PlanAll answer from them. A path that is ignored by every rule is not
// watched at all.
//
// A Batch is a burst of changes by content: what was only touched is not in
// it. It has to be given back with Watcher.Commit once its work is done; what
// was not committed when the process ends comes again at the next start.
//
//	rules, findings := watch.Compile(project, watch.Options{...})
//	w, err := notify.Open(ctx, notify.Options{Roots: rules.Roots(), State: file, Notice: say})
//	for b := range w.Batches() {
//		for _, work := range rules.Plan(b) {
//			// loop detection: Detector.Changed before, Begin and End around it
//			// work.Rebuild -> build and replace the container, and then PlanAll
//			// work.Ops     -> apply.Open(root of each container).Apply(ctx, work.Ops)
//			// work.Exec    -> run in each container, after the Ops
//			// work.Restart -> restart, after the Ops
//		}
//		w.Commit(b)
//	}
//
// A container whose tree is not known (new, or replaced) gets PlanAll with
// Apply's Compare set, with initial_sync or without: only what differs is
// written.
//
// Files of the model itself (compose files, env files, Dockerfiles, configs)
// are named by Model; Roots takes them in, and ChangedModel says which of them
// a batch changed.
package watch
