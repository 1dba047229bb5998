"""What a server is: every file of the folders that configurations write to, its packages, users, groups and enabled units."""
import grp, hashlib, os, pwd, re, stat, subprocess

ROOTS = ["/etc", "/srv", "/opt", "/home", "/root", "/usr/local", "/var/spool/cron", "/var/lib/apps", "/var/www"]
# What differs between any two machines, or is the target's own.
OWN = re.compile(
    r"^/etc/(machine-id|hostname|hosts|resolv\.conf|mtab|ld\.so\.cache|\.pwd\.lock|\.updated|shadow-?|gshadow-?|passwd-|group-|sub[ug]id-?"
    r"|cloud(/.*)?|ssh/ssh_host_.*|ssl/certs(/.*)?|systemd/(system|network)(/.*)?|apt/.*|rc.\.d/.*|greenroom(/.*)?|netplan(/.*)?|network(/.*)?"
    r"|sudoers\.d/90-cloud-init-users|alternatives/.*|udev(/.*)?|default/locale|locale\..*)$"
    r"|^/root/(\.cache|\.ssh|\.bash_history|\.gnupg)(/.*)?$|^/usr/local/bin/greenroom$|/\.git(/.*)?$|/__pycache__(/.*)?$"
)

for root in ROOTS:
    for folder, folders, files in os.walk(root):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            if OWN.search(path):
                continue
            s = os.lstat(path)
            owner = "%s:%s" % (pwd.getpwuid(s.st_uid).pw_name, grp.getgrgid(s.st_gid).gr_name)
            mode = "%04o" % stat.S_IMODE(s.st_mode)
            if stat.S_ISLNK(s.st_mode):
                print("link", path, owner, os.readlink(path))
            elif stat.S_ISDIR(s.st_mode):
                print("folder", path, mode, owner)
            elif stat.S_ISREG(s.st_mode):
                print("file", path, mode, owner, hashlib.sha256(open(path, "rb").read()).hexdigest()[:16])

listed = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n"], stdout=subprocess.PIPE, text=True, check=True).stdout
for line in sorted(listed.splitlines()):
    if line.startswith("installed "):
        print("package", line[10:])
shadow = dict(line.split(":")[:2] for line in open("/etc/shadow").read().splitlines())
for user in sorted(pwd.getpwall()):
    print("user", user.pw_name, user.pw_uid, user.pw_gid, user.pw_gecos, user.pw_dir, user.pw_shell, "locked" if shadow.get(user.pw_name, "!")[:1] in "!*" else "open")
for group in sorted(grp.getgrall()):
    print("group", group.gr_name, group.gr_gid, ",".join(sorted(group.gr_mem)))
