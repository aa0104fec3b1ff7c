package io.gantry.checkpoint.image;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.procfs.Maps;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** CRIU's files, memory files and mappings of them, as a stream describes them. One thread. */
final class CriuFiles {
  private static final Set<fd_types> CARRIED =
      Set.of(fd_types.REG, fd_types.PIPE, fd_types.FIFO, fd_types.MEMFD, fd_types.EVENTFD, fd_types.EVENTPOLL);
  /** The memory file that CRIU makes of anonymous shared memory. */
  private static final String SHARED_ANONYMOUS = "/dev/zero";

  private static final int UNKNOWN_KINDS =
      ~(VmaStatus.REGULAR | VmaStatus.STACK | VmaStatus.VDSO | VmaStatus.HEAP | VmaStatus.FILE_PRIVATE | VmaStatus.FILE_SHARED | VmaStatus.ANON_SHARED
          | VmaStatus.ANON_PRIVATE | VmaStatus.VVAR | VmaStatus.MEMFD);
  private static final int MAP_PRIVATE = 0x02;
  private static final int MAP_ANONYMOUS = 0x20;
  private static final int PROT_WRITE = 2;
  private static final int O_RDWR = 2;
  private static final long PAGE = PagesFile.PAGE_BYTES;
  private static final long ADDRESS_END = 1L << 56;

  private final Path directory;
  private final Map<Integer, file_entry> files = new LinkedHashMap<>();
  private final Map<Integer, memfd_inode_entry> memoryFiles = new LinkedHashMap<>();
  private final Map<Integer, pipe_content_entry> pipes = new LinkedHashMap<>();
  private final Set<Integer> mapped = new TreeSet<>();
  /** Size in bytes of anonymous shared memory, by its number. */
  private final Map<Long, Long> anonymous = new TreeMap<>();

  CriuFiles(Path directory) {
    this.directory = directory;
    for (file_entry file : read(ImageFile.FILES, bytes -> file_entry.parser().parsePartialFrom(bytes))) {
      if (!file.hasType() || !CARRIED.contains(file.getType())) {
        throw new CheckpointException(
            directory.resolve("files.img") + " holds an open file of a kind that cannot be carried from CRIU's images ("
                + (file.hasType() ? file.getType() : "unknown") + "); restore it with CRIU");
      }
      if (!file.isInitialized()) {
        throw new CheckpointException(directory.resolve("files.img") + " holds an entry that cannot be understood; it is damaged");
      }
      files.put(file.getId(), file);
    }
    CriuFields.check(directory.resolve("files.img"), List.copyOf(files.values()));
    if (Files.exists(directory.resolve(ImageFile.MEMFD.fileName()))) {
      CriuFields.check(directory.resolve("memfd.img"), read(ImageFile.MEMFD, memfd_inode_entry::parseFrom))
          .forEach(inode -> memoryFiles.put((int) inode.getInodeId(), inode));
    }
    contents(ImageFile.PIPES_DATA);
    contents(ImageFile.FIFO_DATA);
  }

  private <T> List<T> read(ImageFile kind, ImageFile.Parser<T> parser) {
    return kind.read(directory.resolve(kind.fileName()), parser);
  }

  private void contents(ImageFile kind) {
    var file = directory.resolve(kind.fileName());
    if (!Files.exists(file)) {
      return;
    }
    kind.readWithContent(
        file,
        pipe_data_entry::parseFrom,
        entry -> Integer.toUnsignedLong(entry.getBytes()),
        (entry, bytes) -> {
          var content = pipe_content_entry.newBuilder().setHeader(entry);
          if (bytes.length > 0) {
            content.addSegment(ByteString.copyFrom(bytes));
          }
          pipes.put(entry.getPipeId(), content.build());
        });
  }

  private file_entry file(int id) {
    var file = files.get(id);
    if (file == null) {
      throw new CheckpointException(
          "the images in " + directory + " refer to a file with number " + id + " that is not among them; they are damaged");
    }
    return file;
  }

  /** Path of a file that is found by one. */
  String path(int id) {
    var file = file(id);
    if (!file.hasReg() || !file.getReg().getName().startsWith("/")) {
      throw new CheckpointException("file " + id + " of the images in " + directory + " has no path from the root; they are damaged");
    }
    return file.getReg().getName();
  }

  private memfd_inode_entry memoryFile(long file) {
    var inode = memoryFiles.get(file(Math.toIntExact(file)).getMemfd().getInodeId());
    if (inode == null) {
      throw new CheckpointException("memory file " + file + " of the images in " + directory + " is described nowhere; they are damaged");
    }
    if (inode.getHugetlbFlag() != 0) {
      throw new CheckpointException(
          "memory file %d of the images in %s is made of huge pages, which cannot be carried from CRIU's images; restore it with CRIU"
              .formatted(file, directory));
    }
    return inode;
  }

  /** The layout of an address space. */
  mm_entry memory(int pid, mm_entry mm) {
    var vmas = new ArrayList<vma_entry>();
    for (vma_entry vma : mm.getVmasList()) {
      if ((vma.getStatus() & VmaStatus.VSYSCALL) == 0) {
        check(pid, vma);
        if ((vma.getStatus() & VmaStatus.VVAR) != 0) {
          variables(vma, vmas);
        } else {
          vmas.add(mapping(vma));
        }
      }
    }
    path(mm.getExeFileId());
    mapped.add(mm.getExeFileId());
    // The kernel takes the pair of zeros for the end of the auxiliary vector.
    return mm.toBuilder().clearVmas().addAllVmas(vmas).clearDumpable().addMmSavedAuxv(0).addMmSavedAuxv(0).build();
  }

  private static void check(int pid, vma_entry vma) {
    boolean sane =
        vma.getStart() >= 0
            && vma.getStart() < vma.getEnd()
            && vma.getEnd() <= ADDRESS_END
            && (vma.getStart() | vma.getEnd() | vma.getPgoff()) % PAGE == 0
            && vma.getPgoff() >= 0
            && vma.getPgoff() < ADDRESS_END;
    if (!sane) {
      throw new CheckpointException("mm-" + pid + ".img holds a mapping that cannot be; it is damaged");
    }
    if ((vma.getStatus() & UNKNOWN_KINDS) != 0) {
      throw new CheckpointException(
          "process %d has a mapping of a kind (0x%x) at %x that cannot be carried from CRIU's images; restore it with CRIU"
              .formatted(pid, vma.getStatus(), vma.getStart()));
    }
  }

  private vma_entry mapping(vma_entry vma) {
    var entry = vma.toBuilder();
    int status = vma.getStatus();
    if ((status & VmaStatus.VDSO) != 0) {
      return ofKernel(entry, VmaStatus.VDSO).build();
    }
    if ((status & VmaStatus.ANON_SHARED) != 0) {
      return anonymous(entry, vma.getShmid());
    }
    if ((status & VmaStatus.MEMFD) != 0) {
      var inode = memoryFile(vma.getShmid());
      long number = Integer.toUnsignedLong(inode.getShmid());
      return inode.getName().equals(SHARED_ANONYMOUS)
          ? anonymous(entry, number)
          : entry.setShmid(number).setFdflags(openFlags(vma)).build();
    }
    if ((status & (VmaStatus.FILE_PRIVATE | VmaStatus.FILE_SHARED)) != 0) {
      int file = Math.toIntExact(vma.getShmid());
      path(file);
      mapped.add(file);
      return entry.setFdflags(openFlags(vma)).build();
    }
    return entry.setShmid(0).setPgoff(0).setFdflags(0).build();
  }

  private vma_entry anonymous(vma_entry.Builder entry, long number) {
    anonymous.merge(number, entry.getPgoff() + entry.getEnd() - entry.getStart(), Math::max);
    return entry
        .setShmid(number)
        .setStatus(VmaStatus.REGULAR | VmaStatus.ANON_SHARED)
        .setFlags(entry.getFlags() | MAP_ANONYMOUS)
        .setFdflags(O_RDWR)
        .build();
  }

  private static int openFlags(vma_entry vma) {
    boolean writable =
        vma.hasFdflags()
            ? (vma.getFdflags() & O_RDWR) != 0
            : (vma.getFlags() & MAP_PRIVATE) == 0 && (vma.getProt() & PROT_WRITE) != 0;
    return writable ? O_RDWR : 0;
  }

  private static vma_entry.Builder ofKernel(vma_entry.Builder entry, int kind) {
    return entry.setStatus(VmaStatus.REGULAR | kind).setFlags(MAP_PRIVATE).setShmid(0).setPgoff(0).setMadv(0).setFdflags(0);
  }

  /** CRIU knows one mapping where the kernel has several: they are as long as this process's own. */
  private static void variables(vma_entry vma, List<vma_entry> vmas) {
    var entry = ofKernel(vma.toBuilder(), VmaStatus.VVAR);
    long start = vma.getStart();
    for (Maps.Mapping own : Maps.read(Math.toIntExact(ProcessHandle.current().pid()))) {
      long end = start + (own.end() - own.start());
      if (own.name().startsWith("[vvar") && end < vma.getEnd()) {
        vmas.add(entry.setStart(start).setEnd(end).build());
        start = end;
      }
    }
    vmas.add(entry.setStart(start).setEnd(vma.getEnd()).build());
  }

  /** Objects of shared memory, in spaces from {@code firstSpace} on. After {@link #memory} of all processes. */
  List<shared_memory> shared(int firstSpace) {
    var shared = new ArrayList<shared_memory>();
    for (var object : anonymous.entrySet()) {
      long size =
          memoryFiles.values().stream()
              .filter(inode -> Integer.toUnsignedLong(inode.getShmid()) == object.getKey())
              .mapToLong(memfd_inode_entry::getSize)
              .findFirst()
              .orElse(object.getValue());
      int space = firstSpace + shared.size();
      shared.add(shared_memory.newBuilder().setSpace(space).setShmid(object.getKey()).setSize(sane(size)).build());
    }
    for (memfd_inode_entry inode : memoryFiles.values()) {
      if (!inode.getName().equals(SHARED_ANONYMOUS)) {
        shared.add(
            shared_memory.newBuilder()
                .setSpace(firstSpace + shared.size())
                .setShmid(Integer.toUnsignedLong(inode.getShmid()))
                .setSize(sane(inode.getSize()))
                .setMemfdName(inode.getName())
                .setSeals(inode.getSeals())
                .build());
      }
    }
    return shared;
  }

  private long sane(long bytes) {
    if (bytes < 0 || bytes > ADDRESS_END) {
      throw new CheckpointException(
          "an object of shared memory in " + directory + " has the impossible size " + bytes + "; the images are damaged");
    }
    return bytes;
  }

  /** Files that are mapped or run. After {@link #memory} of all processes. */
  List<mapped_file> mapped() {
    return mapped.stream().map(id -> mapped_file.newBuilder().setId(id).setName(path(id)).build()).toList();
  }

  static List<fdinfo_entry> byNumber(List<fdinfo_entry> descriptors) {
    return descriptors.stream().sorted(Comparator.comparingInt(fdinfo_entry::getFd)).toList();
  }

  /** Adds the files behind the descriptors that are there already, and what lies in them. */
  void addOpen(descriptors_entry.Builder found) {
    Set<Integer> open = new TreeSet<>();
    found.getProcessList().forEach(process -> process.getFdList().forEach(descriptor -> open.add(descriptor.getId())));
    for (int id : List.copyOf(open)) {
      if (file(id).hasFifo() && file(id).getFifo().hasRegfId()) {
        open.add(file(id).getFifo().getRegfId());
      }
    }
    Set<Integer> pipeIds = new TreeSet<>();
    Set<Integer> inodes = new TreeSet<>();
    for (int id : open) {
      var file = file(id);
      found.addFile(file);
      if (file.hasPipe()) {
        pipeIds.add(file.getPipe().getPipeId());
      } else if (file.hasFifo()) {
        pipeIds.add(file.getFifo().getPipeId());
      } else if (file.hasMemfd() && inodes.add(file.getMemfd().getInodeId())) {
        var inode = memoryFile(id);
        found.addMemfd(inode.toBuilder().setSourceDev(0).setSourceIno(Integer.toUnsignedLong(inode.getShmid())));
      } else if (file.hasReg()) {
        path(id);
      }
    }
    pipeIds.stream().filter(pipes::containsKey).map(pipes::get).forEach(found::addPipe);
  }
}
