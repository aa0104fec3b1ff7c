package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.procfs.ElfBuildId;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;

/**
 * What a running container has open, and what speaks against carrying it. Stops, consumes and changes nothing.
 * Any one thread.
 */
public final class DescriptorSurvey {
  private static final Path PROC = Path.of("/proc");
  /** The container's own view of the node; both hosts have their own. */
  private static final String OWN_DIRECTORY = "/run/gantry/";

  private final Inventory inventory;
  private final List<Finding> findings = new ArrayList<>();
  private final Map<String, Footprint.FileFact> files = new LinkedHashMap<>();
  private final LinkedHashSet<String> ports = new LinkedHashSet<>();

  private DescriptorSurvey(Inventory inventory) {
    this.inventory = inventory;
  }

  /**
   * @param findings everything that cannot be carried, each with process and descriptor
   * @param files files that are open or mapped by path
   * @param listeningPorts bound ports, such as {@code "tcp 0.0.0.0:6379"}, {@code "tcp [::]:6379"}; {@code "tcp6only
   * [::]:6379"} does not
   *     take IPv4 connections
   * @param descriptors how many there are
   */
  public record Survey(List<Finding> findings, List<Footprint.FileFact> files, List<String> listeningPorts, int descriptors) {}

  /** Looks at processes, given as the host counts. Those that end meanwhile are left out. */
  public static Survey survey(List<Integer> pids) {
    if (pids.isEmpty()) {
      return new Survey(List.of(), List.of(), List.of(), 0);
    }
    var processes = pids.stream().map(pid -> new ProcessRef(pid, nsPid(pid))).toList();
    try (var inventory = Inventory.take(processes)) {
      var survey = new DescriptorSurvey(inventory);
      inventory.descriptors().forEach(survey::look);
      survey.findings.addAll(Obstacles.ofTables(processes));
      survey.findings.addAll(Outsiders.find(inventory));
      processes.forEach(survey::mappedFiles);
      return new Survey(
          List.copyOf(survey.findings),
          List.copyOf(survey.files.values()),
          List.copyOf(survey.ports),
          inventory.descriptors().size());
    }
  }

  private static int nsPid(int pid) {
    try (var lines = Files.lines(Path.of("/proc/" + pid + "/status"), StandardCharsets.ISO_8859_1)) {
      var line = lines.filter(text -> text.startsWith("NSpid:")).findFirst().orElse("NSpid:\t" + pid);
      return Integer.parseInt(line.substring(line.lastIndexOf('\t') + 1).strip());
    } catch (IOException | UncheckedIOException gone) {
      return pid;
    }
  }

  private void look(SeenDescriptor seen) {
    try {
      int copy = inventory.take(seen);
      try {
        findings.addAll(Obstacles.of(seen, copy, inventory));
        port(seen, copy);
      } finally {
        Fd.close(copy);
      }
    } catch (KernelException e) {
      // Closed meanwhile.
      if (!Inventory.isGone(e)) {
        throw e;
      }
    }
    if (seen.isPath() && !seen.link().startsWith(OWN_DIRECTORY) && !seen.link().endsWith(SeenDescriptor.DELETED)) {
      boolean written = (seen.info().statusFlags() & 3) != Fd.O_RDONLY;
      fact(seen.link(), seen.status(), written);
    }
  }

  private void port(SeenDescriptor seen, int copy) {
    boolean tcp = FileKinds.of(seen, copy) instanceof TcpSocket;
    boolean udp = !tcp && FileKinds.of(seen, copy) instanceof UdpSocket;
    if (tcp || udp) {
      var local = InternetAddress.parse(Sockets.localAddress(copy));
      if (local.port() != 0 && (udp || TcpSocket.isListening(copy))) {
        var only = InternetSocket.isV6Only(copy, local) ? "6only " : " ";
        ports.add((tcp ? "tcp" : "udp") + only + local.text());
      }
    }
  }

  private void mappedFiles(ProcessRef process) {
    try (var lines = Files.lines(PROC.resolve(process.pid() + "/maps"), StandardCharsets.UTF_8)) {
      lines.forEach(
          line -> {
            int slash = line.indexOf('/');
            if (slash > 0 && !line.endsWith(SeenDescriptor.DELETED)) {
              var path = line.substring(slash);
              boolean sharedWritable = line.charAt(line.indexOf(' ') + 2) == 'w' && line.charAt(line.indexOf(' ') + 4) == 's';
              if (!path.startsWith(OWN_DIRECTORY)) {
                FileStatus.of(inventory.root() + path).ifPresent(status -> fact(path, status, sharedWritable));
              }
            }
          });
    } catch (IOException | UncheckedIOException gone) {
      // The process ended meanwhile, or has a file mapped whose name is no UTF-8, which its descriptors or the layout report.
    }
  }

  private void fact(String path, FileStatus status, boolean written) {
    boolean sizeCounts = !written && status.type() == FileStatus.S_IFREG && !RegularFile.isGenerated(path);
    var known = files.get(path);
    if (known == null) {
      var buildId = sizeCounts ? ElfBuildId.read(Path.of(inventory.root() + path)) : "";
      files.put(path, new Footprint.FileFact(path, sizeCounts ? status.size() : -1, status.mode(), buildId));
    } else if (!sizeCounts && known.sizeBytes() >= 0) {
      files.put(path, new Footprint.FileFact(path, -1, status.mode(), known.buildId()));
    }
  }
}
