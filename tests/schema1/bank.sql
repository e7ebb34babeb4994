BEGIN TRANSACTION;
CREATE TABLE answers (
	request_id VARCHAR(64) NOT NULL, 
	writer VARCHAR(256) NOT NULL, 
	contrast_id VARCHAR(64) NOT NULL, 
	prompt_hash TEXT NOT NULL, 
	tier TEXT NOT NULL, 
	text TEXT NOT NULL, 
	turns BIGINT, 
	input_tokens BIGINT, 
	output_tokens BIGINT, 
	seconds DOUBLE, 
	cost_usd DOUBLE, 
	PRIMARY KEY (request_id, writer), 
	FOREIGN KEY(contrast_id) REFERENCES contrasts (id)
);
INSERT INTO "answers" VALUES('request-contrast-5b964bc86cf779444508','gpt-5','contrast-5b964bc86cf779444508','prompt-1','json','an answer about contrast-5b964bc86cf779444508',NULL,NULL,10,NULL,0.5);
INSERT INTO "answers" VALUES('request-contrast-619d59cbc998a252e7f2','gpt-5','contrast-619d59cbc998a252e7f2','prompt-1','json','an answer about contrast-619d59cbc998a252e7f2',NULL,NULL,10,NULL,0.5);
INSERT INTO "answers" VALUES('request-contrast-ddd4bcb2bf0912b2c2b2','gpt-5','contrast-ddd4bcb2bf0912b2c2b2','prompt-1','json','an answer about contrast-ddd4bcb2bf0912b2c2b2',NULL,NULL,10,NULL,0.5);
CREATE TABLE caches (
	name VARCHAR(64) NOT NULL, 
	"key" VARCHAR(256) NOT NULL, 
	content BLOB NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE changes (
	sequence INTEGER NOT NULL, 
	constraint_id VARCHAR(64) NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	reason TEXT, 
	"before" TEXT, 
	"after" TEXT NOT NULL, 
	at TEXT NOT NULL, 
	PRIMARY KEY (sequence), 
	FOREIGN KEY(constraint_id) REFERENCES constraints (id)
);
INSERT INTO "changes" VALUES(1,'c-2be560ce6b96a31c8b2c','learn','learned',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-2be560ce6b96a31c8b2c","scope":"reasoning","status":"active","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"only1 one seat is taken"}','2026-11-25T16:09:21.978437+00:00');
INSERT INTO "changes" VALUES(2,'c-e2c41889395b93a3405d','learn','learned',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-e2c41889395b93a3405d","scope":"reasoning","status":"active","support":{"contrasts":3,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":3},"when":"seats are in a ring 1"}','2026-11-25T16:09:21.978437+00:00');
INSERT INTO "changes" VALUES(3,'c-e4267924080704e1385a','learn','learned',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-e4267924080704e1385a","scope":"reasoning","status":"active","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"only0 one seat is taken"}','2026-11-25T16:09:21.978437+00:00');
INSERT INTO "changes" VALUES(4,'c-f08377d9d45f0f83691f','learn','learned',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-f08377d9d45f0f83691f","scope":"reasoning","status":"active","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"only2 one seat is taken"}','2026-11-25T16:09:21.978437+00:00');
INSERT INTO "changes" VALUES(5,'c-f08377d9d45f0f83691f','alice','retired','wrong','{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-f08377d9d45f0f83691f","scope":"reasoning","status":"active","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"only2 one seat is taken"}','{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-f08377d9d45f0f83691f","scope":"reasoning","status":"retired","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"only2 one seat is taken"}','2026-11-25T16:09:22.005343+00:00');
CREATE TABLE conflicts (
	first VARCHAR(64) NOT NULL, 
	second VARCHAR(64) NOT NULL, 
	PRIMARY KEY (first, second), 
	FOREIGN KEY(first) REFERENCES constraints (id), 
	FOREIGN KEY(second) REFERENCES constraints (id)
);
CREATE TABLE constraints (
	id VARCHAR(64) NOT NULL, 
	"when" TEXT NOT NULL, 
	enforce TEXT NOT NULL, 
	avoid TEXT NOT NULL, 
	category TEXT NOT NULL, 
	subcategory TEXT, 
	scope TEXT NOT NULL, 
	harness TEXT, 
	status TEXT NOT NULL, 
	support_tasks INTEGER NOT NULL, 
	support_contrasts INTEGER NOT NULL, 
	families_right TEXT NOT NULL, 
	families_wrong TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "constraints" VALUES('c-2be560ce6b96a31c8b2c','only1 one seat is taken','this','that','mathematics','counting','reasoning',NULL,'active',1,1,'["gpt"]','["qwen"]');
INSERT INTO "constraints" VALUES('c-e2c41889395b93a3405d','seats are in a ring 1','this','that','mathematics','counting','reasoning',NULL,'active',3,3,'["gpt"]','["qwen"]');
INSERT INTO "constraints" VALUES('c-e4267924080704e1385a','only0 one seat is taken','this','that','mathematics','counting','reasoning',NULL,'active',1,1,'["gpt"]','["qwen"]');
INSERT INTO "constraints" VALUES('c-f08377d9d45f0f83691f','only2 one seat is taken','this','that','mathematics','counting','reasoning',NULL,'retired',1,1,'["gpt"]','["qwen"]');
CREATE TABLE contrasts (
	id VARCHAR(64) NOT NULL, 
	task_id VARCHAR(64) NOT NULL, 
	kind TEXT NOT NULL, 
	preferred VARCHAR(64) NOT NULL, 
	other VARCHAR(64) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(task_id) REFERENCES tasks (id), 
	FOREIGN KEY(preferred) REFERENCES trajectories (id), 
	FOREIGN KEY(other) REFERENCES trajectories (id)
);
INSERT INTO "contrasts" VALUES('contrast-ddd4bcb2bf0912b2c2b2','task-16cfb6261a8436c99ddc','discordant','run-f17101d4e0eae5722bf5','run-6c42e25c0e32c40ac94d');
INSERT INTO "contrasts" VALUES('contrast-619d59cbc998a252e7f2','task-8ae213667925fe36ea89','discordant','run-f7abad7d2384dcb69503','run-0489098d4f3c34108301');
INSERT INTO "contrasts" VALUES('contrast-5b964bc86cf779444508','task-c083407ccc8c52c08013','discordant','run-1a7cfc32c1437f07c988','run-8d4ad0edc20bcbf4a43d');
CREATE TABLE drafts (
	id VARCHAR(64) NOT NULL, 
	contrast_id VARCHAR(64) NOT NULL, 
	"when" TEXT NOT NULL, 
	enforce TEXT NOT NULL, 
	avoid TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	writer TEXT NOT NULL, 
	prompt_hash TEXT NOT NULL, 
	recipe TEXT NOT NULL, 
	category TEXT NOT NULL, 
	subcategory TEXT, 
	harness TEXT, 
	refused TEXT, 
	refused_detail TEXT, 
	constraint_id VARCHAR(64), 
	PRIMARY KEY (id), 
	FOREIGN KEY(contrast_id) REFERENCES contrasts (id), 
	FOREIGN KEY(constraint_id) REFERENCES constraints (id)
);
INSERT INTO "drafts" VALUES('draft-7fc398f4b58bfaa4eb98','contrast-5b964bc86cf779444508','x','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table','specifics','7',NULL);
INSERT INTO "drafts" VALUES('draft-722188e054d5b7762f46','contrast-5b964bc86cf779444508','only0 one seat is taken','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-e4267924080704e1385a');
INSERT INTO "drafts" VALUES('draft-d6cb3d0423aa59823aed','contrast-5b964bc86cf779444508','seats are in a ring 0','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-e2c41889395b93a3405d');
INSERT INTO "drafts" VALUES('draft-db2b51cae2844d544d57','contrast-619d59cbc998a252e7f2','x','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table','specifics','7',NULL);
INSERT INTO "drafts" VALUES('draft-929988de948365f809f3','contrast-619d59cbc998a252e7f2','only1 one seat is taken','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-2be560ce6b96a31c8b2c');
INSERT INTO "drafts" VALUES('draft-8cde8049eb704532d893','contrast-619d59cbc998a252e7f2','seats are in a ring 1','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-e2c41889395b93a3405d');
INSERT INTO "drafts" VALUES('draft-e1bccc51f06c4257b4df','contrast-ddd4bcb2bf0912b2c2b2','x','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table','specifics','7',NULL);
INSERT INTO "drafts" VALUES('draft-852b46736a85c5387cf7','contrast-ddd4bcb2bf0912b2c2b2','only2 one seat is taken','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-f08377d9d45f0f83691f');
INSERT INTO "drafts" VALUES('draft-c8191e2709db877f10cb','contrast-ddd4bcb2bf0912b2c2b2','seats are in a ring 2','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-e2c41889395b93a3405d');
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('format','memcollab-bank');
INSERT INTO "meta" VALUES('schema','1');
INSERT INTO "meta" VALUES('records','1');
CREATE TABLE outcomes (
	recall_id VARCHAR(64) NOT NULL, 
	at TEXT NOT NULL, 
	solved BOOLEAN, 
	content TEXT NOT NULL, 
	PRIMARY KEY (recall_id), 
	FOREIGN KEY(recall_id) REFERENCES recalls (id)
);
CREATE TABLE recalls (
	id VARCHAR(64) NOT NULL, 
	at TEXT NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE steps (
	trajectory_id VARCHAR(64) NOT NULL, 
	content BLOB NOT NULL, 
	PRIMARY KEY (trajectory_id), 
	FOREIGN KEY(trajectory_id) REFERENCES trajectories (id)
);
INSERT INTO "steps" VALUES('run-6c42e25c0e32c40ac94d',X'789C7590410A83400C45AF12B2D6824229B8E9BA675091A8834AC74C3B89888877EFB8D242BB0C7979FF937CC5C6B11A56CCF0C1D0BB1946E205665A041A6248A19B8CA8800C0AE4DDC42D1028D5D6DC3142EFAC09A793188F5B74B6BD67C3E9E51ADF6AD07EE0A71C34890CA214B008D5395B3564AD6096AF48BE9BC6200813AE45D0B5A6C00C0A4C0ADC023EB461B1E3711226A671F7BD16ED1DE3567E37488EC43DE51C569D3D7F7BCBFE84F457EFADFC0048696727');
INSERT INTO "steps" VALUES('run-f17101d4e0eae5722bf5',X'789C6D8F3D0E83300C85AF62798601D489A573CF4050E54204A8C141D8114288BB3799A012E393BFF7E37AC7D6B35A56ACF0C530F81526E20D56DA045A6228A10F56544046055A7CE00E08943ECE3E31C3C53B1BAD41EC8247764DEB67CD1FA0C3C85F3941121945291219AAF7EEDD92738255BD232D7D98A2372ADC4D4CEAACC10A0C16068F888F5D3C243C2FA2629A52DEBCE9E0198FE6BFBC381B53CBB5EC7DCDB99B2CE9F5F26EF2D1FC007FA86453');
INSERT INTO "steps" VALUES('run-0489098d4f3c34108301',X'789C7590410A83400C45AF12B2D6C2144AC14DD73D8316893AA874CCB426222273F78E2B2DB4CB9097F73FC957AC3DAB65C50CEF0C9D9F61205E60A645A0260603ED644505A457A0D14FDC008152E5EC0D131CBDB3F174123B62488EB6F76CF97CBAA4D70AB4EBF9293B4D22BD28452C41F5DE9535392798E52BD2D84E4314C409D722EA1A5B6006059A0243C4FB262E363C3571621A36DF6BD1CE3386C77703B3276E29C7B0F2E8F9DB5BB627985FBDC3E303473A6725');
INSERT INTO "steps" VALUES('run-f7abad7d2384dcb69503',X'789C6D8FCF0A83300CC65F25E4AC87C24E5E76DE33A88C4C8B96D5549A1411F1DD574F3AF0F891DFF727F5865D60B5AC58E18B610C0B4CC42B2CB40A74C46060485654409C02C590B80702A58FB74F2C30066FB335898DB817D7B461D6F2013A3AFECA09928813A54C14A821F87747DE0B56F586148734656F56B83539A9B70D56D0A06970CFB8EBF3E1C04B9315D374E4CDAB8E81716FFFCBCDD978B45CCBDED79CBBC972BC6EEE26EFED0F7E836451');
INSERT INTO "steps" VALUES('run-8d4ad0edc20bcbf4a43d',X'789C7590410A83400C45AF12B2D6A2855270D375CF5045A20E2A1D33AD8988C8DCBDE34A0BED32E4E5FD4F1E2BD68ED5B062867786CECD30102F30D32250134302ED644405A457A0D14DDC00815265CD0D231C9D35E1741233A28F8EB6F76CF87CBAC4D70AB4EBF9293B4D22BD28052C4275CE9635592B983D56A4B19D86200813AE79D03526C70C724C73F401EF9BB0D8F0380D13D3B0F95E8B768ED117DF0DD23D714B39869547CFDFDEB23D21F9D5DB171F460B6723');
INSERT INTO "steps" VALUES('run-1a7cfc32c1437f07c988',X'789C6D8F4D0A83400C85AF12B25650E8CA4DD73D834A4975D0A163464C4444E6EE9D5969C1E523DFFB497D60E7590D2B56F86218FD0613F10E1BED021D311430AC465440AC022D7EE51E08943ECE3C31C3C53B13ADAB980543764D1B66CD1FA0A3E5AF9C208958518A4486EABD7B77E49C60551F48CBB04ED11B151E4D4CEA4D831534583618226EFB7848785E46C534A5BC79D7D13386F6BFBC3C1B53CBB5EC7DCDB99B2CE9F5E26E72687F7D5E644F');
CREATE TABLE tasks (
	id VARCHAR(64) NOT NULL, 
	text TEXT NOT NULL, 
	"key" TEXT, 
	category TEXT, 
	subcategory TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "tasks" VALUES('task-16cfb6261a8436c99ddc','In how many ways can 2 guests sit around a table?',NULL,'mathematics','counting');
INSERT INTO "tasks" VALUES('task-8ae213667925fe36ea89','In how many ways can 1 guests sit around a table?',NULL,'mathematics','counting');
INSERT INTO "tasks" VALUES('task-c083407ccc8c52c08013','In how many ways can 0 guests sit around a table?',NULL,'mathematics','counting');
CREATE TABLE trajectories (
	id VARCHAR(64) NOT NULL, 
	task_id VARCHAR(64) NOT NULL, 
	model TEXT NOT NULL, 
	family TEXT NOT NULL, 
	harness TEXT, 
	run TEXT, 
	solved BOOLEAN, 
	score DOUBLE, 
	judge TEXT, 
	reason TEXT, 
	turns BIGINT NOT NULL, 
	turns_given BOOLEAN NOT NULL, 
	input_tokens BIGINT, 
	output_tokens BIGINT, 
	seconds DOUBLE, 
	cost_usd DOUBLE, 
	shown TEXT NOT NULL, 
	origin TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(task_id) REFERENCES tasks (id)
);
INSERT INTO "trajectories" VALUES('run-6c42e25c0e32c40ac94d','task-16cfb6261a8436c99ddc','qwen2.5-7b','qwen','table','1',0,0.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:2');
INSERT INTO "trajectories" VALUES('run-f17101d4e0eae5722bf5','task-16cfb6261a8436c99ddc','gpt-4','gpt','table','1',1,1.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:2');
INSERT INTO "trajectories" VALUES('run-0489098d4f3c34108301','task-8ae213667925fe36ea89','qwen2.5-7b','qwen','table','1',0,0.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:1');
INSERT INTO "trajectories" VALUES('run-f7abad7d2384dcb69503','task-8ae213667925fe36ea89','gpt-4','gpt','table','1',1,1.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:1');
INSERT INTO "trajectories" VALUES('run-8d4ad0edc20bcbf4a43d','task-c083407ccc8c52c08013','qwen2.5-7b','qwen','table','1',0,0.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:0');
INSERT INTO "trajectories" VALUES('run-1a7cfc32c1437f07c988','task-c083407ccc8c52c08013','gpt-4','gpt','table','1',1,1.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:0');
CREATE TABLE vectors (
	embedder VARCHAR(256) NOT NULL, 
	text_hash VARCHAR(64) NOT NULL, 
	vector BLOB NOT NULL, 
	PRIMARY KEY (embedder, text_hash)
);
CREATE INDEX ix_trajectories_task_id ON trajectories (task_id);
CREATE INDEX ix_changes_constraint_id ON changes (constraint_id);
CREATE INDEX ix_contrasts_task_id ON contrasts (task_id);
CREATE INDEX ix_contrasts_preferred ON contrasts (preferred);
CREATE INDEX ix_contrasts_other ON contrasts (other);
CREATE INDEX ix_answers_contrast_id ON answers (contrast_id);
CREATE INDEX ix_drafts_constraint_id ON drafts (constraint_id);
CREATE INDEX ix_drafts_contrast_id ON drafts (contrast_id);
COMMIT;
