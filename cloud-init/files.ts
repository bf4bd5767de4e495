import type { YamlValue } from "./yaml";

/** A file for cloud-init's write_files. */
export type FirstFile = { path: string; content: string; permissions: string } & { [key: string]: YamlValue };

const HEADER = "Berth, from the user data of this machine";

/**
 * sshd takes the first value it meets, and reads drop-ins in the order of their names: this one comes before the
 * stages' 10-berth.conf and an image's 50-cloud-init.conf. HostKey is named, so that host keys of other types,
 * which an upgrade of openssh-server makes again where they are missing, are never shown.
 */
export function sshdDropIn(login: string): FirstFile {
  return {
    path: "/etc/ssh/sshd_config.d/05-berth.conf",
    permissions: "0644",
    content: [
      `# ${HEADER}: keys only, and one host key.`,
      "HostKey /etc/ssh/ssh_host_ed25519_key",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      `PermitRootLogin ${login === "root" ? "prohibit-password" : "no"}`,
      "",
    ].join("\n"),
  };
}

/**
 * Security updates, every day, and nothing else. Debian lists origins under Origins-Pattern, Ubuntu under
 * Allowed-Origins; both lists are emptied first, since apt adds to lists. NVIDIA's packages are left out: a new
 * library beside the loaded kernel module stops CUDA until a restart. Nothing restarts by itself.
 */
export function securityUpdates(): FirstFile[] {
  return [
    {
      path: "/etc/apt/apt.conf.d/20auto-upgrades",
      permissions: "0644",
      content: [
        `// ${HEADER}.`,
        'APT::Periodic::Update-Package-Lists "1";',
        'APT::Periodic::Unattended-Upgrade "1";',
        "",
      ].join("\n"),
    },
    {
      path: "/etc/apt/apt.conf.d/52berth-unattended-upgrades",
      permissions: "0644",
      content: [
        `// ${HEADER}: security updates alone.`,
        "#clear Unattended-Upgrade::Allowed-Origins;",
        "#clear Unattended-Upgrade::Origins-Pattern;",
        "Unattended-Upgrade::Origins-Pattern {",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of unattended-upgrades
        '  "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of unattended-upgrades
        '  "origin=Ubuntu,archive=${distro_codename}-security,label=Ubuntu";',
        "};",
        "Unattended-Upgrade::Package-Blacklist {",
        '  "nvidia-";',
        '  "libnvidia-";',
        '  "linux-modules-nvidia-";',
        "};",
        'Unattended-Upgrade::Automatic-Reboot "false";',
        "",
      ].join("\n"),
    },
  ];
}
