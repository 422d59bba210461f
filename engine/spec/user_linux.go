package spec

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// User is who a process runs as, in numbers.
type User struct {
	UID, GID uint32
	Groups   []uint32
	Home     string
	Umask    uint32
}

// Accounts is the content of an image's /etc/passwd and /etc/group; either may
// be empty.
type Accounts struct {
	Passwd, Group []byte
}

// NeedsAccounts reports whether user or groups can only be resolved with the
// image's account files. Root, by name or number, needs none.
func NeedsAccounts(user string, groups []string) bool {
	if user != "" && user != "0" && user != "root" && user != "0:0" && user != "root:root" {
		return true
	}
	return slices.ContainsFunc(groups, func(g string) bool { _, err := strconv.Atoi(g); return err != nil })
}

// ResolveUser turns "name|uid[:group|gid]" and additional groups into numbers
// as Docker does: a uid that the image knows brings its primary and
// supplementary groups, an unknown one runs with group 0.
func ResolveUser(user string, groups []string, a Accounts) (User, error) {
	u := User{Home: "/", Umask: 0o022}
	name, group, hasGroup := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	entry, found := findAccount(a.Passwd, name)
	switch {
	case found:
		u.UID, u.GID, u.Home = entry.uid, entry.gid, entry.home
	case name == "root" || name == "0":
		u.Home = "/root"
		entry.name = "root"
	default:
		n, err := strconv.ParseUint(name, 10, 31)
		if err != nil {
			return User{}, fmt.Errorf("user %q: no such user in the image's /etc/passwd", name)
		}
		u.UID = uint32(n)
	}
	if !hasGroup && entry.name != "" {
		u.Groups = memberships(a.Group, entry.name)
	}
	if hasGroup && group != "" {
		gid, err := resolveGroup(a.Group, group)
		if err != nil {
			return User{}, err
		}
		u.GID = gid
	}
	for _, g := range groups {
		gid, err := resolveGroup(a.Group, g)
		if err != nil {
			return User{}, err
		}
		u.Groups = append(u.Groups, gid)
	}
	// The primary group is one of them, too: it may be dropped from the process
	// and must stay a supplementary one (CVE-2022-36109).
	u.Groups = append(u.Groups, u.GID)
	slices.Sort(u.Groups)
	u.Groups = slices.Compact(u.Groups)
	return u, nil
}

type account struct {
	name     string
	uid, gid uint32
	home     string
}

// findAccount looks for a name, then for a uid, in passwd(5) text.
func findAccount(passwd []byte, nameOrUID string) (account, bool) {
	var byUID account
	found := false
	for fields := range colonLines(passwd) {
		if len(fields) < 6 {
			continue
		}
		uid, err1 := strconv.ParseUint(fields[2], 10, 32)
		gid, err2 := strconv.ParseUint(fields[3], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		acc := account{name: fields[0], uid: uint32(uid), gid: uint32(gid), home: fields[5]}
		if fields[0] == nameOrUID {
			return acc, true
		}
		if fields[2] == nameOrUID && !found {
			byUID, found = acc, true
		}
	}
	return byUID, found
}

// memberships are the gids of the groups that list name, after group(5).
func memberships(group []byte, name string) []uint32 {
	var out []uint32
	for fields := range colonLines(group) {
		if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), name) {
			continue
		}
		if gid, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			out = append(out, uint32(gid))
		}
	}
	return out
}

func resolveGroup(group []byte, nameOrGID string) (uint32, error) {
	for fields := range colonLines(group) {
		if len(fields) < 3 || fields[0] != nameOrGID {
			continue
		}
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if err == nil {
			return uint32(gid), nil
		}
	}
	if nameOrGID == "root" {
		return 0, nil
	}
	gid, err := strconv.ParseUint(nameOrGID, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("group %q: no such group in the image's /etc/group", nameOrGID)
	}
	return uint32(gid), nil
}

// colonLines yields the fields of each line of a colon-separated file.
func colonLines(b []byte) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		sc := bufio.NewScanner(bytes.NewReader(b))
		for sc.Scan() {
			line := strings.TrimSpace(sc.Text())
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(strings.Split(line, ":")) {
				return
			}
		}
	}
}
