"""The attachments of a service that is tested without HTTP."""

from service.attachments.attachment_store import AttachmentStore
from service.attachments.attachments import Attachments
from service.attachments.gridfs_storage import GridFSStorage
from service.attachments.links import AttachmentLinks
from service.datastores.mongo import Database

LINKS = AttachmentLinks("the secret of the tests")


def attachments_in(database: Database) -> Attachments:
    """Return the attachments whose files are in `database`, too."""
    return Attachments(AttachmentStore(database), GridFSStorage(database), LINKS)
