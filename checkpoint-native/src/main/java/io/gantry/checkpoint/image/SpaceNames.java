package io.gantry.checkpoint.image;

import java.util.HashMap;
import java.util.Map;

/** Which pagemap file belongs to which space: CRIU names them by process or by shared object. Immutable. */
final class SpaceNames {
  /** Directory of the pages of earlier rounds; CRIU's {@code CR_PARENT_LINK}. */
  static final String PARENT = "parent";

  private final Map<Integer, String> names = new HashMap<>();

  /** @param last the last round */
  SpaceNames(round_beginOrBuilder last) {
    last.getProcessesList().forEach(process -> names.put(process.getSpace(), ImageFile.PAGEMAP.fileName(process.getPid())));
    last.getSharedList()
        .forEach(
            shared ->
                names.put(
                    shared.getSpace(),
                    (shared.hasSysv() ? "pagemap-segment-" + shared.getSysv().getId() : "pagemap-shmem-" + shared.getShmid()) + ".img"));
  }

  /** A space that the last round does not name, such as the content of a file, keeps its number. */
  String pagemap(int space) {
    return names.getOrDefault(space, "pagemap-space-" + space + ".img");
  }

  static String pages(int space) {
    return "pages-" + space + ".img";
  }

  /** Index of the pages as they were sent, where CRIU's files have to have them in another order. */
  static String streamPagemap(int space) {
    return "stream-pagemap-" + space + ".img";
  }

  static String streamPages(int space) {
    return "stream-pages-" + space + ".img";
  }
}
