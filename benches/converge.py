#!/usr/bin/env python3
"""How long one convergence takes, beside the field's other tools doing the same work in the same run.

    benches/converge.py GREENROOM [--rounds 3] [--peers cfengine,salt,puppet,pyinfra,ansible]

The work: 100 templated files, 20 packages that are installed already, one account, five guarded commands. Each tool gets it in its
own language and runs it on this machine: `first` from nothing, `no-op` with nothing left to do. Needs root, for the account.

Greenroom has two rows. `recipe apply` compiles the recipes and applies them, as the others do in one process. `agent` applies a
configuration in hand, which is what each server of a fleet does: its server compiled it (`cargo bench --bench compile`).

Programs are looked for on the PATH, or where CFENGINE, SALT, PUPPET, PYINFRA and ANSIBLE say. One that is missing is named and
left out. Equal work is not quite equal: CFEngine looks at its packages with one dpkg-query of its policy and is flattered; its
guards and pyinfra's are conditions of the policy and of the shell.
"""
import argparse, os, pwd, shutil, statistics, subprocess, sys, tempfile, time

COUNT = 100
USER = "grbench"
PACKAGES = ("base-files base-passwd bash bsdutils coreutils dash debconf diffutils dpkg e2fsprogs findutils grep gzip hostname "
            "init-system-helpers login mount ncurses-base sed tar").split()


def body(name, port, host):
    return (f"# managed file {name}\nserver {{\n  listen {port};\n  host {host};\n  workers 4;\n  log /var/log/{name}.log;\n}}\n")


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def greenroom_files(folder):
    write(f"{folder}/recipes/work.yaml", f"""recipe: work
description: What every tool is asked to do.
states:
  - directory: {{path: "{folder}/target"}}
  - template:
      for: n in range({COUNT})
      path: "{folder}/target/f{{{{ '%03d' | format(n) }}}}"
      source: f.j2
      mode: "0644"
      vars: {{name: "{{{{ '%03d' | format(n) }}}}", port: "{{{{ 8000 + n }}}}", label: staging-1}}
  - package: {{name: [{", ".join(PACKAGES)}]}}
  - user: {{name: {USER}, system: true}}
  - execute:
      for: g in range(1, 6)
      id: "g{{{{ g }}}}"
      command: [touch, "{folder}/target/g{{{{ g }}}}"]
      creates: "{folder}/target/g{{{{ g }}}}"
      cwd: "{folder}"
""")
    write(f"{folder}/recipes/f.j2", body("{{ name }}", "{{ port }}", "{{ label }}"))


def apply(folder, program):
    greenroom_files(folder)
    return [program, "recipe", "apply", "work", "--recipes", f"{folder}/recipes", "--folder", f"{folder}/agent"]


def agent(folder, program):
    greenroom_files(folder)
    with open(f"{folder}/configuration.json", "w") as out:
        subprocess.run([program, "recipe", "render", "work", "--recipes", f"{folder}/recipes"], stdout=out, check=True)
    return [program, "agent", "--offline", "--once", "--configuration", out.name, "--folder", f"{folder}/agent"]


def cfengine(folder, program):
    write(f"{folder}/f.mustache", body("{{name}}", "{{port}}", "{{label}}"))
    numbers = [f"{n:03d}" for n in range(COUNT)]
    data = [f'"d{n}" data => parsejson(\'{{"name":"{n}","port":{8000 + int(n)},"label":"staging-1"}}\');' for n in numbers]
    have = f'"have" string => execresult("/usr/bin/dpkg-query -W -f ${{const.dollar}}{{Package}}: {" ".join(PACKAGES)}", "noshell");'
    classes = [f'"has_{p.replace("-", "_")}" expression => regcmp(".*{p}:.*", "$(have)");' for p in PACKAGES]
    files = [f'"{folder}/target/." create => "true";']
    files += [f'"{folder}/target/f{n}" create => "true", perms => m644, template_method => "mustache", edit_defaults => nobak, '
              f'edit_template => "{folder}/f.mustache", template_data => @(d{n});' for n in numbers]
    commands = [f'"/bin/touch {folder}/target/g{g}" if => not(fileexists("{folder}/target/g{g}"));' for g in range(1, 6)]
    parts = ["body common control { bundlesequence => { \"main\" }; }", "bundle agent main {", "vars:", *data, have, "classes:", *classes,
             "files:", *files, "commands:", *commands, "users:", f'"{USER}" policy => "present";', "}",
             'body edit_defaults nobak { edit_backup => "false"; }', 'body perms m644 { mode => "644"; }']
    write(f"{folder}/promises.cf", "\n".join(parts) + "\n")
    os.chmod(f"{folder}/promises.cf", 0o600)
    return [program, "-KI", "-f", f"{folder}/promises.cf"]


def salt(folder, program):
    write(f"{folder}/states/f.j2", body("{{ name }}", "{{ port }}", "{{ label }}"))
    write(f"{folder}/states/work.sls", f"""{{% for n in range({COUNT}) %}}
{folder}/target/f{{{{ '%03d' % n }}}}:
  file.managed: [{{source: 'salt://f.j2'}}, {{template: jinja}}, {{mode: '0644'}}, {{makedirs: true}}, {{context: {{name: '{{{{ '%03d' % n }}}}', port: {{{{ 8000 + n }}}}, label: staging-1}}}}]
{{% endfor %}}
packages: {{pkg.installed: [{{pkgs: [{", ".join(PACKAGES)}]}}]}}
{USER}: {{user.present: [{{system: true}}]}}
""" + "".join(f"/bin/touch {folder}/target/g{g}: {{cmd.run: [{{creates: {folder}/target/g{g}}}]}}\n" for g in range(1, 6)))
    write(f"{folder}/etc/minion", f"file_client: local\nroot_dir: {folder}/etc\nfile_roots: {{base: [{folder}/states]}}\n")
    return [program, "--local", "-c", f"{folder}/etc", "--retcode-passthrough", "-l", "error", "state.apply", "work"]


def puppet(folder, program):
    text = body("<%= $name %>", "<%= $port %>", "<%= $label %>")
    write(f"{folder}/modules/work/templates/f.epp", "<%- | String $name, Integer $port, String $label | -%>\n" + text)
    lines = [f"file {{ '{folder}/target': ensure => directory }}",
             f"Integer[0,{COUNT - 1}].each |$i| {{ $n = sprintf('%03d', $i) file {{ \"{folder}/target/f${{n}}\": ensure => file, mode => '0644', "
             "content => epp('work/f.epp', {name => $n, port => 8000 + $i, label => 'staging-1'}) } }"]
    lines += [f"package {{ '{p}': ensure => installed }}" for p in PACKAGES]
    lines += [f"user {{ '{USER}': ensure => present, system => true }}"]
    lines += [f"exec {{ '/bin/touch {folder}/target/g{g}': creates => '{folder}/target/g{g}', require => File['{folder}/target'] }}" for g in range(1, 6)]
    write(f"{folder}/site.pp", "\n".join(lines) + "\n")
    return [program, "apply", "--modulepath", f"{folder}/modules", "--confdir", f"{folder}/conf", "--vardir", f"{folder}/var", f"{folder}/site.pp"]


def pyinfra(folder, program):
    write(f"{folder}/f.j2", body("{{ fname }}", "{{ port }}", "{{ label }}"))
    write(f"{folder}/deploy.py", f"""from pyinfra.operations import apt, files, server
files.directory(path="{folder}/target")
for n in range({COUNT}):
    files.template(src="{folder}/f.j2", dest="{folder}/target/f%03d" % n, mode="644", fname="%03d" % n, port=8000 + n, label="staging-1")
apt.packages(packages={PACKAGES!r})
server.user(user="{USER}", system=True)
for g in range(1, 6):
    mark = "{folder}/target/g%d" % g
    server.shell(commands=["[ -e %s ] || touch %s" % (mark, mark)])
""")
    return [program, "-y", "@local", f"{folder}/deploy.py"]


def ansible(folder, program):
    write(f"{folder}/templates/f.j2", body("{{ item }}", "{{ 8000 + (item | int) }}", "{{ label }}"))
    items = ", ".join(f'"{n:03d}"' for n in range(COUNT))
    tasks = [f"file: {{path: {folder}/target, state: directory}}",
             f'template: {{src: f.j2, dest: "{folder}/target/f{{{{ item }}}}", mode: "0644"}}\n    loop: [{items}]',
             f"package: {{name: [{', '.join(PACKAGES)}], state: present}}", f"user: {{name: {USER}, system: true}}"]
    tasks += [f'command: {{cmd: "touch {folder}/target/g{g}", creates: "{folder}/target/g{g}"}}' for g in range(1, 6)]
    head = "- hosts: localhost\n  connection: local\n  gather_facts: no\n  vars:\n    label: staging-1\n    ansible_python_interpreter: /usr/bin/python3\n  tasks:\n"
    write(f"{folder}/play.yml", head + "".join(f"  - {task}\n" for task in tasks))
    return [program, "-i", "localhost,", f"{folder}/play.yml"]


PEERS = {"cfengine": (cfengine, "cf-agent"), "salt": (salt, "salt-call"), "puppet": (puppet, "puppet"), "pyinfra": (pyinfra, "pyinfra"),
         "ansible": (ansible, "ansible-playbook")}


def reset(folder):
    shutil.rmtree(f"{folder}/target", ignore_errors=True)
    subprocess.run(["userdel", USER], stderr=subprocess.DEVNULL, check=False)


def timed(command, folder):
    """Wall seconds, processor seconds with children, and the largest process in MiB."""
    with open(f"{folder}/out", "wb") as out:
        began = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, child.returncode


def check(name, folder, code, good):
    there = os.listdir(f"{folder}/target") if os.path.isdir(f"{folder}/target") else []
    try:
        pwd.getpwnam(USER)
    except KeyError:
        there = []
    if len(there) != COUNT + 5 or code not in good:
        with open(f"{folder}/out", errors="replace") as out:
            sys.exit(f"{name} did not do the work (exit {code}, {len(there)} files):\n{out.read()[-2000:]}")


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("greenroom")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--peers", default=",".join(PEERS))
    args = args.parse_args()
    if os.geteuid() != 0:
        sys.exit("converge.py makes an account and so needs root")
    program = os.path.realpath(args.greenroom)
    rows = {"greenroom recipe apply": (apply, program), "greenroom agent": (agent, program)}
    for name in filter(None, args.peers.split(",")):
        make, command = PEERS[name]
        found = os.environ.get(name.upper()) or shutil.which(command)
        if found:
            rows[name] = (make, found)
        else:
            print(f"{name}: not measured, {command} is not on the PATH")
    seen = {name: {"first": [], "no-op": []} for name in rows}
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as base:
        os.chmod(base, 0o755)
        for _ in range(args.rounds):
            for name, (make, found) in rows.items():
                folder = f"{base}/{name.replace(' ', '-')}"
                os.makedirs(folder, exist_ok=True)
                command = make(folder, found)
                reset(folder)
                for kind in ("first", "no-op"):
                    figures = timed(command, folder)
                    good = {(True, "first"): (2,), (True, "no-op"): (0,)}.get((name.startswith("greenroom"), kind), (0,))
                    check(name, folder, figures[3], good)
                    seen[name][kind].append(figures[:3])
                reset(folder)
    ours = seen["greenroom recipe apply"]
    print(f"\n{'':24}{'first':>10}{'cpu':>8}{'against ours':>14}{'no-op':>12}{'cpu':>8}{'against ours':>14}{'largest':>10}   load {os.getloadavg()[0]:.1f}")
    for name, kinds in seen.items():
        line = f"{name:24}"
        for kind, width in (("first", 8), ("no-op", 10)):
            wall, cpu = (statistics.median(run[part] for run in kinds[kind]) for part in (0, 1))
            ratio = wall / statistics.median(run[0] for run in ours[kind])
            line += f"{wall:>{width}.3f} s{cpu:>6.2f} s{ratio:>13.2f}x"
        print(line + f"{max(run[2] for runs in kinds.values() for run in runs):>6.0f} MiB")


if __name__ == "__main__":
    main()
