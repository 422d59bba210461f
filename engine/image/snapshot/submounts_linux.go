package snapshot

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// submountsOf lists the file systems of the host that are mounted beneath
// root and can be seen there.
func submountsOf(root, dataRoot string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer f.Close()
	mounts, err := parseMounts(f)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var points []string
	for _, m := range within(mounts, root, dataRoot) {
		if visible(m) {
			points = append(points, m.point)
		}
	}
	return points, nil
}

// visible says whether a mount is what its path leads to, rather than hidden
// under a later one.
func visible(m mount) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, m.point, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st)
	return err == nil && st.Mnt_id == uint64(m.id)
}
